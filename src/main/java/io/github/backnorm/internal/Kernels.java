package io.github.backnorm.internal;

/**
 * The loops in which the library spends its time, in two forms that give the same bits: {@link ScalarKernels}, loops
 * that C2 vectorizes by itself, and the SIMD kernels of the module jdk.incubator.vector, if {@link KernelChoice} finds
 * them usable.
 *
 * <p>Each form does the same operations on each entry in the same order; SIMD lanes run over columns of the output,
 * never along a sum.
 */
abstract class Kernels {
    private static final KernelChoice CHOICE = KernelChoice.make();

    /** The kernels chosen for this JVM; an IllegalStateException if those that were asked for cannot be had. */
    static Kernels chosen() {
        return CHOICE.kernels();
    }

    /** Doubles in a SIMD register; 1 for scalar kernels. */
    abstract int lanes();
}
