package io.github.backnorm.internal.products;

import java.util.Arrays;

/** Fills the memory that products work in with NaN, or drops it: what is used before it is set, or too short, shows. */
public final class Spoiled {
    private Spoiled() {}

    /** Spoils the arrays that the next products take, if they need at most this length. */
    public static void scratch(int length) {
        double[] doubles = Scratch.DOUBLES.take(length);
        Arrays.fill(doubles, Double.NaN);
        Scratch.DOUBLES.giveBack(doubles);
        float[] floats = Scratch.FLOATS.take(length);
        Arrays.fill(floats, Float.NaN);
        Scratch.FLOATS.giveBack(floats);
    }

    /** Drops the arrays below this length, so that the next products make their own. */
    public static void dropScratch(int length) {
        Scratch.DOUBLES.take(length);
        Scratch.FLOATS.take(length);
    }
}
