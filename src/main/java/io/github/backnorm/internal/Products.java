package io.github.backnorm.internal;

import io.github.backnorm.internal.products.FloatRows;
import io.github.backnorm.internal.products.Operand;
import io.github.backnorm.internal.products.ScalarProducts;
import java.util.Arrays;
import java.util.function.IntFunction;

/**
 * Products of matrices, {@code C = A·B}.
 *
 * <p>Every entry of C is one chain {@code acc = fma(a, b, acc)} that starts at +0.0 and runs over the inner index in
 * increasing order, whatever the shape; no term is skipped. So an entry depends on its row of A and its column of B
 * only. The kernels differ only in the order of the entries, so they give the same bits.
 *
 * <p>Error of an entry: {@code γₖ·(|A|·|B|)}, {@code γₖ = k·u/(1 − k·u)}, {@code u = 2⁻⁵³} (N. J. Higham, 2002,
 * <i>Accuracy and Stability of Numerical Algorithms</i>, 2nd ed., §3.5).
 */
public final class Products {
    /** The row for products to which none is added. */
    public static final double[] NO_ROW = {};

    /**
     * The most columns for which {@code Aᵀ·B} is formed as the transpose of {@code Bᵀ·A}: the gradient of a last layer
     * with few outputs. Rows are long then, and A is read in its order.
     */
    private static final int NARROW = 32;

    private Products() {}

    /** A product in one of the precisions, as {@link Kernels} has them. */
    @FunctionalInterface
    private interface Multiplication {
        double[] multiply(Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor);
    }

    /**
     * {@code A·B}, with {@code row} added to each row: one addition after the chain.
     *
     * @param row as many entries as B has columns, or {@link #NO_ROW}
     * @param arrayFor gives the array for the product, whose content does not matter
     * @return the product, row-major
     */
    public static double[] multiply(Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor) {
        return multiply(KernelChoice.chosen(), a, b, row, arrayFor);
    }

    /** As {@link #multiply}, in single precision. */
    public static double[] multiplySingle(Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor) {
        return multiplySingle(KernelChoice.chosen(), a, b, row, arrayFor);
    }

    /** As {@link #multiplySingle}, for a B that is rounded already. */
    public static double[] multiplySingle(Operand a, FloatRows b, double[] row) {
        return KernelChoice.chosen().multiplySingle(a, b, row);
    }

    static double[] multiply(Kernels kernels, Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor) {
        return multiply(kernels::multiply, a, b, row, arrayFor);
    }

    static double[] multiplySingle(
            Kernels kernels, Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor) {
        return multiply(kernels::multiplySingle, a, b, row, arrayFor);
    }

    private static double[] multiply(
            Multiplication product, Operand a, Operand b, double[] row, IntFunction<double[]> arrayFor) {
        int m = a.rows();
        int n = b.columns();
        if (n <= NARROW && n < m && row.length == 0 && !a.hasContiguousRows()) {
            double[] transposed = multiply(product, b.transposed(), a.transposed(), row, double[]::new);
            double[] c = arrayFor.apply(m * n);
            transpose(n, m, transposed, c);
            return c;
        }
        if (m > 0 && n > 0 && a.columns() > 0) {
            return product.multiply(a, b, row, arrayFor);
        }
        double[] c = arrayFor.apply(m * n);
        Arrays.fill(c, 0.0);
        for (int i = 0; i < m && row.length > 0; i++) {
            ScalarProducts.addRow(n, row, 0, c, i * n);
        }
        return c;
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
