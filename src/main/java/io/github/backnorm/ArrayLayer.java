package io.github.backnorm;

import java.util.Arrays;

/**
 * A layer of the library that computes one array from another. A {@link Network} gives it arrays for what passes
 * between such layers, and uses them again in the next step.
 */
abstract class ArrayLayer extends BuiltInLayer {
    /** As {@link #forward(Matrix)}; y is an array for the result, of the right length, or null for a new one. */
    abstract Matrix forward(Matrix x, double[] y);

    /** As {@link #backward(Matrix)}; dx is an array for the result, of the right length, or null for a new one. */
    abstract Matrix backward(Matrix dy, double[] dx);

    /** An array of source's size: a copy of its array if copied, else the given one or, if null, a new one. */
    static double[] room(Matrix source, boolean copied, double[] given) {
        int length = source.data().length;
        return copied ? Arrays.copyOf(source.data(), length) : given == null ? new double[length] : given;
    }
}
