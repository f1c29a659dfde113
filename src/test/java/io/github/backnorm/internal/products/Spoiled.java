package io.github.backnorm.internal.products;

import java.util.Arrays;

/** Fills the memory that products work in with NaN, so that an entry which is used before it is set shows. */
public final class Spoiled {
    private Spoiled() {}

    /** Spoils the array that the next product takes, if it needs at most this length. */
    public static void scratch(int length) {
        double[] array = Scratch.take(length);
        Arrays.fill(array, Double.NaN);
        Scratch.giveBack(array);
    }
}
