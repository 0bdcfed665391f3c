"""espeak-ng through its library, which tells when each phoneme begins."""

from __future__ import annotations

import ctypes
import ctypes.util

import numpy as np

SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS
PHONEME_EVENTS = 1  # espeakINITIALIZE_PHONEME_EVENTS
UTF8 = 1  # espeakCHARS_UTF8
END, PHONEME = 0, 7  # espeakEVENT_LIST_TERMINATED, espeakEVENT_PHONEME
RATE, PITCH, RANGE = 1, 3, 4  # espeak_PARAMETER


class Event(ctypes.Structure):
    """espeak_EVENT; `name` is the union's 8 characters."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("message", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )


CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event))


class Espeak:
    """One engine to a process; `say` gives int16 audio at `rate` and (start in seconds, phoneme) pairs."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL(ctypes.util.find_library("espeak-ng"))
        self.rate = self.library.espeak_Initialize(SYNCHRONOUS, 0, None, PHONEME_EVENTS)
        self.callback = CALLBACK(self.receive)  # kept, or it is collected under the library
        self.library.espeak_SetSynthCallback(self.callback)
        self.pieces: list[np.ndarray] = []
        self.phonemes: list[tuple[float, str]] = []

    def receive(self, audio: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[Event]) -> int:
        if audio and count:
            self.pieces.append(np.ctypeslib.as_array(audio, (count,)).copy())
        number = 0
        while events[number].type != END:
            event = events[number]
            if event.type == PHONEME:
                self.phonemes.append((event.milliseconds / 1000, event.name.decode("utf-8", "replace")))
            number += 1
        return 0

    def say(self, text: str, voice: str, speed: int, pitch: int, spread: int) -> tuple[np.ndarray, list]:
        """speed in words a minute; pitch and its spread from 0 to 99, 50 being the voice's own."""
        if self.library.espeak_SetVoiceByName(voice.encode()):
            raise RuntimeError(f"espeak-ng has no voice {voice}")
        for parameter, value in ((RATE, speed), (PITCH, pitch), (RANGE, spread)):
            self.library.espeak_SetParameter(parameter, value, 0)
        self.pieces, self.phonemes = [], []
        data = text.encode()
        if self.library.espeak_Synth(data, len(data) + 1, 0, 0, 0, UTF8, None, None):
            raise RuntimeError(f"espeak-ng could not say {text!r}")
        return np.concatenate(self.pieces), self.phonemes
