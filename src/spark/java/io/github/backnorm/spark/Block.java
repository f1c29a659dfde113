package io.github.backnorm.spark;

import io.github.backnorm.Matrix;
import java.io.Serializable;
import java.util.List;
import java.util.function.Function;

/**
 * A block of a batch.
 *
 * @param number its number in the batch
 */
record Block(int number, List<Sample> rows) implements Serializable {
    Matrix x() {
        return matrix(Sample::x);
    }

    Matrix targets() {
        return matrix(Sample::targets);
    }

    private Matrix matrix(Function<Sample, double[]> part) {
        return Matrix.ofRows(rows.stream().map(part).toArray(double[][]::new));
    }
}
