package io.github.backnorm;

import java.math.BigDecimal;
import java.math.MathContext;
import java.util.function.IntFunction;
import java.util.function.UnaryOperator;

/**
 * The definitions (1) to (6) of docs/derivation.md in decimal arithmetic, and centered differences of functions that
 * are built from them. Nothing here uses a rule of calculus, so that the derivation can be checked against it.
 *
 * <p>A matrix is an array of rows; b, μ, σ², γ and β are matrices of one row. Indices count from 0.
 */
final class Definitions {
    /** Sums and products are exact; quotients and square roots are rounded to this precision. */
    static final MathContext PRECISION = new MathContext(100);

    /** The step t of the centered differences. */
    static final BigDecimal STEP = new BigDecimal("1e-25");

    private Definitions() {}

    /** h_kl = Σ_d x_kd·w_dl + b_l (1). */
    static BigDecimal[][] affine(BigDecimal[][] x, BigDecimal[][] w, BigDecimal[][] b) {
        return matrix(x.length, b[0].length, (k, l) -> b[0][l].add(sum(w.length, d -> x[k][d].multiply(w[d][l]))));
    }

    /** μ_l = Σ_p h_pl / N (2). */
    static BigDecimal[][] mean(BigDecimal[][] h) {
        return matrix(1, h[0].length, (k, l) -> quotient(sum(h.length, p -> h[p][l]), h.length));
    }

    /** σ²_l = Σ_p (h_pl − μ_l)² / N (3). */
    static BigDecimal[][] variance(BigDecimal[][] h) {
        int n = h.length;
        BigDecimal[] mean = mean(h)[0];
        return matrix(
                1,
                mean.length,
                (k, l) -> quotient(sum(n, p -> h[p][l].subtract(mean[l]).pow(2)), n));
    }

    /** ĥ_kl = (h_kl − μ_l) / √(σ²_l + δ) (4). */
    static BigDecimal[][] normalized(BigDecimal[][] h, BigDecimal delta) {
        BigDecimal[] mean = mean(h)[0];
        BigDecimal[] variance = variance(h)[0];
        BigDecimal[] std =
                matrix(1, mean.length, (k, l) -> variance[l].add(delta).sqrt(PRECISION))[0];
        return matrix(h.length, mean.length, (k, l) -> h[k][l].subtract(mean[l]).divide(std[l], PRECISION));
    }

    /** y_kl = γ_l·ĥ_kl + β_l (5). */
    static BigDecimal[][] output(BigDecimal[][] xHat, BigDecimal[][] gamma, BigDecimal[][] beta) {
        return matrix(xHat.length, gamma[0].length, (k, l) -> beta[0][l].add(gamma[0][l].multiply(xHat[k][l])));
    }

    /** a_kl = max(y_kl, 0) (6). */
    static BigDecimal[][] rectified(BigDecimal[][] y) {
        return matrix(y.length, y[0].length, (k, l) -> y[k][l].max(BigDecimal.ZERO));
    }

    /** All ∂f_kl/∂x_ij for one (i, j), up to truncation and rounding: (f(x + t) − f(x − t)) / 2t. */
    static BigDecimal[][] derivative(UnaryOperator<BigDecimal[][]> f, BigDecimal[][] x, int i, int j) {
        BigDecimal[][] above = f.apply(shifted(x, i, j, STEP));
        BigDecimal[][] below = f.apply(shifted(x, i, j, STEP.negate()));
        BigDecimal width = STEP.add(STEP);
        return matrix(
                above.length,
                above[0].length,
                (k, l) -> above[k][l].subtract(below[k][l]).divide(width, PRECISION));
    }

    private static BigDecimal[][] shifted(BigDecimal[][] x, int i, int j, BigDecimal shift) {
        return matrix(x.length, x[0].length, (k, l) -> k == i && l == j ? x[k][l].add(shift) : x[k][l]);
    }

    /** The entry of a matrix at row k and column l. */
    @FunctionalInterface
    interface Entry {
        BigDecimal at(int k, int l);
    }

    static BigDecimal[][] matrix(int rows, int columns, Entry entry) {
        BigDecimal[][] matrix = new BigDecimal[rows][columns];
        for (int k = 0; k < rows; k++) {
            for (int l = 0; l < columns; l++) {
                matrix[k][l] = entry.at(k, l);
            }
        }
        return matrix;
    }

    /** Σ_p term(p) over p = 0, …, n − 1. */
    static BigDecimal sum(int n, IntFunction<BigDecimal> term) {
        BigDecimal sum = BigDecimal.ZERO;
        for (int p = 0; p < n; p++) {
            sum = sum.add(term.apply(p));
        }
        return sum;
    }

    static BigDecimal quotient(BigDecimal a, int n) {
        return a.divide(BigDecimal.valueOf(n), PRECISION);
    }
}
