package io.github.backnorm.internal.products;

import java.lang.ref.SoftReference;
import java.util.concurrent.ConcurrentLinkedDeque;

/**
 * Arrays for packed operands, kept from one product to the next: allocating one costs as much as filling it.
 *
 * <p>As many are kept as were in use at a time, and none when memory runs short. The array given back last is taken
 * first: it is in the caches, and arrays that are no longer needed age until the garbage collector frees them.
 */
final class Scratch {
    private static final ConcurrentLinkedDeque<SoftReference<double[]>> FREE = new ConcurrentLinkedDeque<>();

    private Scratch() {}

    /** An array of at least this length, with any content. */
    static double[] take(int length) {
        for (SoftReference<double[]> free = FREE.poll(); free != null; free = FREE.poll()) {
            double[] array = free.get();
            if (array != null && array.length >= length) {
                return array;
            }
        }
        return new double[length];
    }

    static void giveBack(double[] array) {
        FREE.push(new SoftReference<>(array));
    }
}
