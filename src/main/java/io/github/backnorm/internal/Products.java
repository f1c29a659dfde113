package io.github.backnorm.internal;

import java.util.Arrays;

/**
 * Matrix products over row-major arrays: {@code C (m×n) = op(A) (m×k) · op(B) (k×n)}. C goes into the array given, whose
 * content does not matter, or, where that is null, into a new one.
 *
 * <p>Every entry of C is one chain {@code acc = fma(a, b, acc)} that starts at +0.0 and runs over the inner index in
 * increasing order, whatever the shape; no term is skipped. So an entry depends on nothing but its row of A and its
 * column of B, and the kernels, which differ in the order of the entries and in nothing else, give the same bits.
 *
 * <p>Error of an entry: {@code γₖ·(|A|·|B|)}, {@code γₖ = k·u/(1 − k·u)}, {@code u = 2⁻⁵³} (N. J. Higham, 2002,
 * <i>Accuracy and Stability of Numerical Algorithms</i>, 2nd ed., §3.5).
 */
public final class Products {
    private Products() {}

    /**
     * {@code C = A·B} with A m×k, B k×n, and a row, unless it is null, added to each row of the product, which is one
     * addition after the chain.
     */
    public static double[] gemm(int m, int n, int k, double[] a, double[] b, double[] row, double[] c) {
        return gemm(Kernels.chosen(), m, n, k, a, false, b, false, row, c);
    }

    /** {@code C = Aᵀ·B} with A k×m, B k×n. */
    public static double[] gemmTN(int m, int n, int k, double[] a, double[] b, double[] c) {
        return gemm(Kernels.chosen(), m, n, k, a, true, b, false, null, c);
    }

    /** {@code C = A·Bᵀ} with A m×k, B n×k. */
    public static double[] gemmNT(int m, int n, int k, double[] a, double[] b, double[] c) {
        return gemm(Kernels.chosen(), m, n, k, a, false, b, true, null, c);
    }

    static double[] gemm(
            Kernels kernels,
            int m,
            int n,
            int k,
            double[] a,
            boolean aTransposed,
            double[] b,
            boolean bTransposed,
            double[] row,
            double[] c) {
        if (m > 0 && n > 0 && k > 0) {
            return kernels.gemm(m, n, k, a, aTransposed, b, bTransposed, row, c);
        }
        double[] zeros = c == null ? new double[m * n] : c;
        Arrays.fill(zeros, 0, m * n, 0.0);
        for (int i = 0; i < m && row != null; i++) {
            Kernels.add(n, row, 0, zeros, i * n);
        }
        return zeros;
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
}
