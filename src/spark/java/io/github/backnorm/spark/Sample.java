package io.github.backnorm.spark;

import java.io.Serializable;
import java.util.Arrays;

/** A row of a table, for training; its id is 0 where there are none. */
@SuppressWarnings("ArrayRecordComponent") // never compared by equals
record Sample(double[] x, double[] targets, long id) implements Serializable, Comparable<Sample> {
    @Override
    public int compareTo(Sample other) {
        int byX = Arrays.compare(x, other.x);
        return byX != 0 ? byX : Arrays.compare(targets, other.targets);
    }
}
