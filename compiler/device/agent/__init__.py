"""What runs, compares and times the components of a bundle on the machine that it is on.

    python3 agent.pyz measure BUNDLE    run the reference inputs, compare, time
    python3 agent.pyz run BUNDLE        run and compare
    python3 agent.pyz bench BUNDLE      time
    python3 agent.pyz build BUNDLE      build the engines of a kit for TensorRT; the others do so if there are none

BUNDLE may be left out where the file lies in one, as it does in kits.

It needs Python 3.6, NumPy and the runtime of the bundle's files, and no voxc: `compiler/device/pack.py` writes this
folder and the modules that it imports into one file. Nothing of voxc imports it. It prints one JSON document on stdout;
stderr has its progress, in lines that begin with `voxc-agent: `, and whatever runtimes print. Nothing in a bundle is
executed as Python.

Exit codes: 0 done, 1 an output differs too much from the reference, 2 the bundle or a setting cannot be used, 3 this
machine lacks something. Any other failure is Python's traceback, and no document.
"""
