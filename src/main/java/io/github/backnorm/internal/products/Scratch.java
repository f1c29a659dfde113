package io.github.backnorm.internal.products;

import java.lang.ref.SoftReference;
import java.lang.reflect.Array;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.function.IntFunction;

/**
 * Arrays for packed operands, kept from one product to the next: allocating one costs as much as filling it.
 *
 * <p>As many are kept as were in use at a time, and none when memory runs short. The array given back last is taken
 * first: it is in the caches, and arrays that are no longer needed age until the garbage collector frees them.
 *
 * @param <A> the type of an array
 */
final class Scratch<A> {
    static final Scratch<double[]> DOUBLES = new Scratch<>(double[]::new);
    static final Scratch<float[]> FLOATS = new Scratch<>(float[]::new);

    private final ConcurrentLinkedDeque<SoftReference<A>> free = new ConcurrentLinkedDeque<>();
    private final IntFunction<A> newArray;

    private Scratch(IntFunction<A> newArray) {
        this.newArray = newArray;
    }

    /** An array of at least this length, with any content. */
    A take(int length) {
        for (SoftReference<A> first = free.poll(); first != null; first = free.poll()) {
            A array = first.get();
            if (array != null && Array.getLength(array) >= length) {
                return array;
            }
        }
        return newArray.apply(length);
    }

    void giveBack(A array) {
        free.push(new SoftReference<>(array));
    }
}
