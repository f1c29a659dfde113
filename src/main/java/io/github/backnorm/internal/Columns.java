package io.github.backnorm.internal;

import java.util.Arrays;

/**
 * Operations on the columns and rows of row-major m×n arrays.
 *
 * <p>Sums run from the first row or column to the last and are rounded once ({@link CompensatedSum}).
 */
public final class Columns {
    private Columns() {}

    /** {@code sums[j] = Σᵢ a[i,j]}. */
    public static void sums(int m, int n, double[] a, double[] sums) {
        words(m, n, a, sums);
    }

    /** The sums of the columns in two words. */
    static DoubleDoubles words(int m, int n, double[] a) {
        return words(m, n, a, new double[n]);
    }

    /** {@code means[j] = (1/m)·Σᵢ a[i,j]}. */
    public static void means(int m, int n, double[] a, double[] means) {
        DoubleDoubles words = words(m, n, a, means);
        for (int j = 0; j < n; j++) {
            means[j] = words.get(j).dividedBy(m).value();
        }
    }

    /** The sums of the columns in two words; the leading words are in the given array. */
    private static DoubleDoubles words(int m, int n, double[] a, double[] sums) {
        Arrays.fill(sums, 0.0);
        DoubleDoubles words = DoubleDoubles.wrap(sums);
        KernelChoice.chosen().sumColumns(m, n, a, words);
        for (int j = 0; j < n; j++) {
            if (!Double.isFinite(sums[j])) {
                words.set(j, CompensatedSum.of(m, a, j, n).get()); // its rules for what is not finite
            }
        }
        return words;
    }

    /** {@code sums[i] = Σⱼ a[i,j]}. */
    public static void rowSums(int m, int n, double[] a, double[] sums) {
        for (int i = 0; i < m; i++) {
            sums[i] = CompensatedSum.of(n, a, i * n, 1).value();
        }
    }

    /** {@code b[i,j] = a[i,j] + row[j]}. */
    public static void addRow(int m, int n, double[] a, double[] row, double[] b) {
        for (int i = 0; i < m; i++) {
            int start = i * n;
            for (int j = 0; j < n; j++) {
                b[start + j] = a[start + j] + row[j];
            }
        }
    }
}
