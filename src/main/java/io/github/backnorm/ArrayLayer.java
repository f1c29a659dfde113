package io.github.backnorm;

import java.util.function.IntFunction;

/**
 * A built-in layer that computes one array from another. Once it has checked its input, it asks {@code arrayFor} for an
 * array of the result's length. The array is new, or one whose content is no longer needed.
 */
abstract class ArrayLayer<P> extends BuiltInLayer<P> {
    /** As {@link #forward(Matrix)}, with y in the array that {@code arrayFor} gives. */
    abstract Matrix forward(Matrix x, IntFunction<double[]> arrayFor);

    /** As {@link #backward(Matrix)}, with dx in the array that {@code arrayFor} gives. */
    abstract Matrix backward(Matrix dy, IntFunction<double[]> arrayFor);
}
