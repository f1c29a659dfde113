package io.github.backnorm.internal;

import java.util.Arrays;

/**
 * Operations down and across the columns of row-major m×n arrays: sums over the rows, and maps that treat every entry
 * of a column alike. Vectors over the columns have length n.
 *
 * <p>All sums run over the rows in increasing order, one accumulator a column: rows outside, columns inside, so that
 * the array is read in order and the inner iterations are independent of each other.
 *
 * <p>Numbers in parentheses are the equations of {@code docs/derivation.md}.
 */
public final class Columns {
    private Columns() {}

    /** {@code sums[j] = Σᵢ a[i,j]}. */
    public static void sums(int m, int n, double[] a, double[] sums) {
        Arrays.fill(sums, 0.0);
        for (int i = 0; i < m; i++) {
            int row = i * n;
            for (int j = 0; j < n; j++) {
                sums[j] += a[row + j];
            }
        }
    }

    /** {@code dots[j] = Σᵢ a[i,j]·b[i,j]}, each sum a chain of fused multiply-adds. */
    public static void dots(int m, int n, double[] a, double[] b, double[] dots) {
        Arrays.fill(dots, 0.0);
        for (int i = 0; i < m; i++) {
            int row = i * n;
            for (int j = 0; j < n; j++) {
                dots[j] = Math.fma(a[row + j], b[row + j], dots[j]);
            }
        }
    }

    /**
     * Column means {@code μ} (2) and deviations {@code u = h − μ} (9), for m ≥ 1.
     *
     * <p>Each column is shifted by a pivot, its entry in row 0: with {@code d = h − pivot} and {@code r = mean(d)},
     * {@code u = d − r} and {@code μ = pivot + r}. Rounding errors are then relative to the spread of the column about
     * its pivot and not to its mean, and a constant column has deviations that are exactly 0.
     */
    public static void center(int m, int n, double[] h, double[] mean, double[] u) {
        for (int i = 0; i < m; i++) {
            int row = i * n;
            for (int j = 0; j < n; j++) {
                u[row + j] = h[row + j] - h[j];
            }
        }
        double[] remainder = new double[n];
        sums(m, n, u, remainder);
        for (int j = 0; j < n; j++) {
            remainder[j] /= m;
            mean[j] = h[j] + remainder[j];
        }
        for (int i = 0; i < m; i++) {
            int row = i * n;
            for (int j = 0; j < n; j++) {
                u[row + j] -= remainder[j];
            }
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

    /** {@code b[i,j] = a[i,j]·factor[j]}; a and b may be the same array. */
    public static void scale(int m, int n, double[] a, double[] factor, double[] b) {
        for (int i = 0; i < m; i++) {
            int row = i * n;
            for (int j = 0; j < n; j++) {
                b[row + j] = a[row + j] * factor[j];
            }
        }
    }

    /** {@code y = γ·ĥ + β} (5). */
    public static void scaleAndShift(int m, int n, double[] xHat, double[] gamma, double[] beta, double[] y) {
        for (int i = 0; i < m; i++) {
            int row = i * n;
            for (int j = 0; j < n; j++) {
                y[row + j] = Math.fma(gamma[j], xHat[row + j], beta[j]);
            }
        }
    }

    /** {@code y = γ·((h − μ)·v) + β} (26), with μ and v that do not depend on h. */
    public static void normalize(
            int m, int n, double[] h, double[] mean, double[] inverseStd, double[] gamma, double[] beta, double[] y) {
        for (int i = 0; i < m; i++) {
            int row = i * n;
            for (int j = 0; j < n; j++) {
                y[row + j] = Math.fma(gamma[j], (h[row + j] - mean[j]) * inverseStd[j], beta[j]);
            }
        }
    }

    /** {@code dh = γ·v·(dy − dβ/m − ĥ·dγ/m)} (18). */
    public static void normalizeBackward(
            int m,
            int n,
            double[] dy,
            double[] xHat,
            double[] gamma,
            double[] inverseStd,
            double[] dgamma,
            double[] dbeta,
            double[] dh) {
        double[] factor = new double[n];
        double[] meanDy = new double[n];
        double[] meanDyXHat = new double[n];
        for (int j = 0; j < n; j++) {
            factor[j] = gamma[j] * inverseStd[j];
            meanDy[j] = dbeta[j] / m;
            meanDyXHat[j] = dgamma[j] / m;
        }
        for (int i = 0; i < m; i++) {
            int row = i * n;
            for (int j = 0; j < n; j++) {
                dh[row + j] = factor[j] * Math.fma(-xHat[row + j], meanDyXHat[j], dy[row + j] - meanDy[j]);
            }
        }
    }
}
