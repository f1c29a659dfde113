package io.github.backnorm;

import java.util.Random;

/** Matrices for tests. */
final class Matrices {
    private Matrices() {}

    /** Uniform in [−1, 1), the same for the same seed. */
    static Matrix uniform(int rows, int columns, long seed) {
        Random random = new Random(seed);
        return Matrix.generate(rows, columns, (row, column) -> 2 * random.nextDouble() - 1);
    }

    static double[] column(Matrix matrix, int j) {
        return matrix.transpose().row(j).toArray();
    }
}
