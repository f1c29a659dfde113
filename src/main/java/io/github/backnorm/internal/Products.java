package io.github.backnorm.internal;

import java.util.Arrays;

/**
 * Matrix products over row-major arrays: {@code C (m×n) = op(A) (m×k) · op(B) (k×n)}.
 *
 * <p>Every entry of C is one chain {@code acc = fma(a, b, acc)} that starts at +0.0 and runs over the inner index in
 * increasing order, whatever the shape; no term is skipped. So an entry depends on nothing but its row of A and its
 * column of B, and any other kernel that keeps the chain gives the same bits.
 *
 * <p>Error of an entry: {@code γₖ·(|A|·|B|)}, {@code γₖ = k·u/(1 − k·u)}, {@code u = 2⁻⁵³} (N. J. Higham, 2002,
 * <i>Accuracy and Stability of Numerical Algorithms</i>, 2nd ed., §3.5).
 *
 * <p>The loops update a row of C by rows of B: the innermost one runs over contiguous entries of both, its iterations
 * are independent, and the compiler turns it into SIMD code without any reordering of a sum.
 */
public final class Products {
    private Products() {}

    /** {@code C = A·B} with A m×k, B k×n. */
    public static void gemm(int m, int n, int k, double[] a, double[] b, double[] c) {
        gemm(m, n, k, a, k, 1, b, c);
    }

    /** {@code C = Aᵀ·B} with A k×m, B k×n. */
    public static void gemmTN(int m, int n, int k, double[] a, double[] b, double[] c) {
        gemm(m, n, k, a, 1, m, b, c);
    }

    /** {@code C = A·Bᵀ} with A m×k, B n×k; B is transposed first, for the sums must not run along the SIMD lanes. */
    public static void gemmNT(int m, int n, int k, double[] a, double[] b, double[] c) {
        double[] bTransposed = new double[b.length];
        transpose(n, k, b, bTransposed);
        gemm(m, n, k, a, k, 1, bTransposed, c);
    }

    /** {@code B (n×m) = Aᵀ} with A m×n. */
    public static void transpose(int m, int n, double[] a, double[] b) {
        for (int i = 0; i < m; i++) {
            int row = i * n;
            for (int j = 0; j < n; j++) {
                b[j * m + i] = a[row + j];
            }
        }
    }

    /** The entry (i, p) of op(A) is {@code a[i·rowStride + p·columnStride]}. */
    private static void gemm(int m, int n, int k, double[] a, int rowStride, int columnStride, double[] b, double[] c) {
        Arrays.fill(c, 0, m * n, 0.0);
        for (int i = 0; i < m; i++) {
            for (int p = 0; p < k; p++) {
                addScaledRow(n, a[i * rowStride + p * columnStride], b, p * n, c, i * n);
            }
        }
    }

    private static void addScaledRow(int n, double factor, double[] b, int bRow, double[] c, int cRow) {
        for (int j = 0; j < n; j++) {
            c[cRow + j] = Math.fma(factor, b[bRow + j], c[cRow + j]);
        }
    }
}
