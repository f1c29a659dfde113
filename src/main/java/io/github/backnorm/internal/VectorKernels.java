package io.github.backnorm.internal;

import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * Kernels in SIMD vectors of the width that the machine prefers.
 *
 * <p>The species is a static final constant, vectors are local variables, and methods are small: otherwise C2 keeps
 * vectors as objects, a hundred times slower.
 */
final class VectorKernels extends Kernels {
    private static final VectorSpecies<Double> SPECIES = DoubleVector.SPECIES_PREFERRED;

    @Override
    int lanes() {
        return SPECIES.length();
    }

    @Override
    public String toString() {
        return "vector kernels, " + SPECIES.length() + " lanes";
    }
}
