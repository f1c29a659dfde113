package io.github.backnorm.internal.products;

import java.util.Arrays;

/**
 * Rows of a matrix, rounded to floats, for products of few rows. Each is an array of its own, because C2 of JDK 17 does
 * not vectorize a loop that reads one array at two variable offsets. Behind the columns there are zeros, up to a
 * multiple of {@value #PADDED}, so that loops need no rest.
 */
public final class FloatRows {
    /** The innermost loop: adds four factors times four rows to a row of sums. */
    @FunctionalInterface
    public interface Loop {
        void add(
                int n,
                float x0,
                float x1,
                float x2,
                float x3,
                float[] b0,
                float[] b1,
                float[] b2,
                float[] b3,
                float[] sums);
    }

    /** The most rows of A for which such a product is faster than one that packs B. */
    public static final int FEW = 4;

    private static final int PADDED = 16;

    private final float[][] rows;
    private final int columns;

    public FloatRows(Operand matrix) {
        columns = matrix.columns();
        rows = zeros(matrix.rows(), columns);
        for (int i = 0; i < rows.length; i++) {
            ScalarFloats.round(columns, matrix.data(), matrix.at(i, 0), rows[i], 0);
        }
    }

    /** {@code A·B} for this B, as {@link ScalarFloats} defines it, with {@code row} added if it has entries. */
    public double[] multiply(Operand a, double[] row, Loop loop) {
        int m = a.rows();
        double[] c = new double[m * columns];
        float[] x = new float[a.columns()];
        float[] sums = zeros(1, columns)[0];
        for (int i = 0; i < m; i++) {
            for (int p = 0; p < x.length; p++) {
                x[p] = (float) a.data()[a.at(i, p)];
            }
            for (int p = 0; p < x.length; p += ScalarFloats.CHAIN) {
                Arrays.fill(sums, 0);
                addRows(x, p, Math.min(x.length, p + ScalarFloats.CHAIN), sums, loop);
                ScalarFloats.add(columns, sums, 0, p == 0, c, i * columns);
            }
            if (row.length > 0) {
                ScalarProducts.addRow(columns, row, 0, c, i * columns);
            }
        }
        return c;
    }

    private void addRows(float[] x, int start, int end, float[] sums, Loop loop) {
        int n = padded(columns);
        int p = start;
        for (; p + 3 < end; p += 4) {
            loop.add(n, x[p], x[p + 1], x[p + 2], x[p + 3], rows[p], rows[p + 1], rows[p + 2], rows[p + 3], sums);
        }
        for (; p < end; p++) {
            ScalarFloats.addScaled(n, x[p], rows[p], sums);
        }
    }

    public int columns() {
        return columns;
    }

    private static int padded(int columns) {
        return (columns + PADDED - 1) / PADDED * PADDED;
    }

    /** Arrays of at least so many zeros, aligned alike: with its header, each has a multiple of 64 bytes. */
    static float[][] zeros(int count, int columns) {
        return new float[count][padded(columns) + 12];
    }
}
