package io.github.backnorm.internal;

/**
 * Operations down and along the columns of row-major m×n arrays.
 *
 * <p>Sums run over the rows in increasing order and are rounded once ({@link CompensatedSums}).
 */
public final class Columns {
    private Columns() {}

    /** {@code sums[j] = Σᵢ a[i,j]}. */
    public static void sums(int m, int n, double[] a, double[] sums) {
        Kernels.chosen().sumColumns(m, n, a, sums, new double[n]);
        for (int j = 0; j < n; j++) {
            if (!Double.isFinite(sums[j])) {
                sums[j] = sum(m, n, a, j).value(0);
            }
        }
    }

    /** {@code means[j] = (1/m)·Σᵢ a[i,j]}. */
    public static void means(int m, int n, double[] a, double[] means) {
        double[] low = new double[n];
        Kernels.chosen().sumColumns(m, n, a, means, low);
        for (int j = 0; j < n; j++) {
            DoubleDouble sum = Double.isFinite(means[j])
                    ? new DoubleDouble(means[j], low[j])
                    : sum(m, n, a, j).get(0);
            means[j] = sum.dividedBy(m).value();
        }
    }

    /** {@code sums[i] = Σⱼ a[i,j]}, formed over the columns in increasing order. */
    public static void rowSums(int m, int n, double[] a, double[] sums) {
        for (int i = 0; i < m; i++) {
            sums[i] = CompensatedSums.sum(a, i * n, (i + 1) * n);
        }
    }

    /** The sum of a column, formed with the rules for what is not finite. */
    private static CompensatedSums sum(int m, int n, double[] a, int column) {
        CompensatedSums sum = new CompensatedSums(1);
        for (int i = 0; i < m; i++) {
            sum.add(a, i * n + column);
        }
        return sum;
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
