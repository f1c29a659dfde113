package io.github.backnorm;

import java.util.function.IntFunction;

/**
 * A layer of the library that computes one array from another. It asks for the array that a result goes to by its length,
 * once it has checked its input. Whoever calls it gives a new array, or one whose content is no longer needed.
 */
abstract class ArrayLayer<P> extends BuiltInLayer<P> {
    /** As {@link #forward(Matrix)}, with y in an array of {@code room}. */
    abstract Matrix forward(Matrix x, IntFunction<double[]> room);

    /** As {@link #backward(Matrix)}, with dx in an array of {@code room}. */
    abstract Matrix backward(Matrix dy, IntFunction<double[]> room);
}
