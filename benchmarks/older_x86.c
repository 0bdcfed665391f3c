/* Makes an x86-64 machine with Linux look like an older one to the program that this library is preloaded into.

   CPUID faulting makes the CPUID instruction raise SIGSEGV. The handler answers with what the CPU says, less the bits
   of newer instructions, so that libraries choose the kernels that they have for CPUs without them; these run at full
   speed. Child processes inherit LD_PRELOAD, and are treated alike.

   LEVEL is what is left: 1 SSE4.2, 2 AVX2, 3 AVX-512 as on Skylake-X; no level has VNNI or AMX. A program that installs
   a SIGSEGV handler of its own (Python's faulthandler, pytest) ends at its next CPUID. */

#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef LEVEL
#define LEVEL 2
#endif
#define SSE4 1
#define AVX2 2
#define AVX512 3

#define ARCH_SET_CPUID 0x1012 /* of arch_prctl(2), which glibc does not declare */
#define REFUSED 99
#define BIT(n) (1u << (n))

struct registers {
  uint32_t eax, ebx, ecx, edx;
};

static long let_cpuid(int run) { return syscall(SYS_arch_prctl, ARCH_SET_CPUID, run); }

/* Intel's Software Developer's Manual, volume 2A, CPUID, has the bits. */
static void take_away(uint32_t leaf, uint32_t subleaf, struct registers *has) {
  if (leaf == 1 && LEVEL < AVX2)
    has->ecx &= ~(BIT(12) | BIT(28) | BIT(29)); /* FMA, AVX, F16C */
  if (leaf == 7 && subleaf == 0) {
    /* AVX-512: IFMA, PF, ER; VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ; 4VNNIW, 4FMAPS, VP2INTERSECT, FP16 */
    has->ebx &= ~(BIT(21) | BIT(26) | BIT(27));
    has->ecx &= ~(BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14));
    has->edx &= ~(BIT(2) | BIT(3) | BIT(8) | BIT(23));
    has->edx &= ~(BIT(22) | BIT(24) | BIT(25)); /* AMX: BF16, TILE, INT8 */
    if (LEVEL < AVX512)
      has->ebx &= ~(BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31)); /* AVX-512: F, DQ, CD, BW, VL */
    if (LEVEL < AVX2) {
      has->ebx &= ~BIT(5);                         /* AVX2 */
      has->ecx &= ~(BIT(8) | BIT(9) | BIT(10));    /* GFNI, VAES, VPCLMULQDQ */
    }
  }
  if (leaf == 7 && subleaf == 1) {
    has->eax &= ~(BIT(4) | BIT(5) | BIT(21) | BIT(23));         /* AVX-VNNI, AVX512_BF16, AMX-FP16, AVX-IFMA */
    has->edx &= ~(BIT(4) | BIT(5) | BIT(8) | BIT(10) | BIT(19)); /* VNNI-INT8, NE-CONVERT, AMX, VNNI-INT16, AVX10 */
  }
}

static void answer(int signal_number, siginfo_t *info, void *context) {
  static const uint8_t CPUID[] = {0x0f, 0xa2};
  greg_t *cpu = ((ucontext_t *)context)->uc_mcontext.gregs;
  if (info->si_code != SI_KERNEL || memcmp((void *)cpu[REG_RIP], CPUID, sizeof CPUID) != 0) {
    signal(signal_number, SIG_DFL); /* a real fault: it happens again, and ends the program as usual */
    return;
  }
  struct registers has;
  uint32_t leaf = cpu[REG_RAX], subleaf = cpu[REG_RCX];
  let_cpuid(1);
  __asm__ volatile("cpuid" : "=a"(has.eax), "=b"(has.ebx), "=c"(has.ecx), "=d"(has.edx) : "a"(leaf), "c"(subleaf));
  let_cpuid(0);
  take_away(leaf, subleaf, &has);
  cpu[REG_RAX] = has.eax;
  cpu[REG_RBX] = has.ebx;
  cpu[REG_RCX] = has.ecx;
  cpu[REG_RDX] = has.edx;
  cpu[REG_RIP] += sizeof CPUID;
}

__attribute__((constructor)) static void start(void) {
  struct sigaction action = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &action, NULL);
  if (let_cpuid(0) != 0) {
    perror("CPUID faulting");
    _exit(REFUSED);
  }
}
