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
        CompensatedSums compensated = compensated(m, n, a);
        for (int j = 0; j < n; j++) {
            sums[j] = compensated.value(j);
        }
    }

    /** {@code means[j] = (1/m)·Σᵢ a[i,j]}. */
    public static void means(int m, int n, double[] a, double[] means) {
        CompensatedSums compensated = compensated(m, n, a);
        for (int j = 0; j < n; j++) {
            means[j] = compensated.get(j).dividedBy(m).value();
        }
    }

    /** {@code sums[i] = Σⱼ a[i,j]}, formed over the columns in increasing order. */
    public static void rowSums(int m, int n, double[] a, double[] sums) {
        for (int i = 0; i < m; i++) {
            sums[i] = CompensatedSums.sum(a, i * n, (i + 1) * n);
        }
    }

    private static CompensatedSums compensated(int m, int n, double[] a) {
        CompensatedSums sums = new CompensatedSums(n);
        for (int i = 0; i < m; i++) {
            sums.add(a, i * n);
        }
        return sums;
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
