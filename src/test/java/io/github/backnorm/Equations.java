package io.github.backnorm;

import static io.github.backnorm.Definitions.PRECISION;
import static io.github.backnorm.Definitions.matrix;
import static io.github.backnorm.Definitions.mean;
import static io.github.backnorm.Definitions.normalized;
import static io.github.backnorm.Definitions.output;
import static io.github.backnorm.Definitions.quotient;
import static io.github.backnorm.Definitions.sum;
import static io.github.backnorm.Definitions.variance;

import io.github.backnorm.Definitions.Entry;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.IntFunction;

/**
 * The equations of docs/derivation.md from (7) on in decimal arithmetic, and the points at which they are tested.
 *
 * <p>The right-hand side of an equation is written once, most of them as methods of {@link Point} and {@link
 * AffinePoint}. Later ones call earlier ones, as the derivation does. {@link DerivationTest} checks them against the
 * {@link Definitions}, and {@link EquationsTest} checks the library against them.
 */
final class Equations {
    /** The least s² = σ² + δ of a point. */
    private static final BigDecimal LEAST_VARIANCE = new BigDecimal("0.0625");

    private Equations() {}

    /**
     * A batch h with γ, β, δ and the gradient dy of a loss. Its methods are the equations of batch norm at this point.
     */
    static final class Point {
        final long seed;
        final int rows;
        final int columns;
        final BigDecimal[][] h;
        final BigDecimal[][] gamma;
        final BigDecimal[][] beta;
        final BigDecimal delta;
        final BigDecimal[][] dy;
        final BigDecimal[][] mean;
        final BigDecimal[][] variance;
        final BigDecimal[][] u;
        final BigDecimal[][] v;
        final BigDecimal[][] xHat;

        Point(
                long seed,
                BigDecimal[][] h,
                BigDecimal[][] gamma,
                BigDecimal[][] beta,
                BigDecimal delta,
                BigDecimal[][] dy) {
            this.seed = seed;
            this.rows = h.length;
            this.columns = h[0].length;
            this.h = h;
            this.gamma = gamma;
            this.beta = beta;
            this.delta = delta;
            this.dy = dy;
            this.mean = mean(h);
            this.variance = variance(h);
            this.u = centered(h);
            this.v = inverseStd(h, delta);
            this.xHat = normalized(h, delta);
        }

        /**
         * Draws what the tolerance of {@link DerivationTest} assumes. Column 0 is constant if δ is large enough, and
         * column 1 lies far from 0.
         */
        static Point drawn(long seed, int rows, int columns, double epsilon) {
            Random random = new Random(seed);
            BigDecimal delta = new BigDecimal(epsilon);
            boolean constantColumn = delta.compareTo(LEAST_VARIANCE) >= 0;
            BigDecimal[][] h;
            do {
                BigDecimal[][] drawn = uniform(random, rows, columns);
                h = matrix(rows, columns, (k, l) -> {
                    double entry = drawn[constantColumn && l == 0 ? 0 : k][l].doubleValue();
                    return new BigDecimal(l == 1 ? entry + 1e6 : entry);
                });
            } while (Arrays.stream(variance(h)[0]).anyMatch(s2 -> s2.add(delta).compareTo(LEAST_VARIANCE) < 0));
            BigDecimal[] gammas = decimals("1.5 -0.75 0")[0];
            BigDecimal[][] gamma = matrix(1, columns, (k, l) -> gammas[random.nextInt(gammas.length)]);
            return new Point(seed, h, gamma, uniform(random, 1, columns), delta, uniform(random, rows, columns));
        }

        BigDecimal[][] outputOf(BigDecimal[][] h) {
            return output(normalized(h, delta), gamma, beta);
        }

        // (8)
        BigDecimal outputByNormalized(int l) {
            return gamma[0][l];
        }

        // (10)
        BigDecimal meanByInput(int l, int j) {
            return quotient(kronecker(j, l), rows);
        }

        // (11)
        BigDecimal centeredByInput(int k, int l, int i, int j) {
            return kronecker(i, k).multiply(kronecker(j, l)).subtract(meanByInput(l, j));
        }

        // (12)
        BigDecimal varianceByInput(int l, int i, int j) {
            return quotient(BigDecimal.valueOf(2), rows).multiply(u[i][l]).multiply(kronecker(j, l));
        }

        // (13)
        BigDecimal inverseStdByInput(int l, int i, int j) {
            return new BigDecimal("-0.5").multiply(v[0][l].pow(3)).multiply(varianceByInput(l, i, j));
        }

        // (14)
        BigDecimal normalizedByInput(int k, int l, int i, int j) {
            return centeredByInput(k, l, i, j).multiply(v[0][l]).add(u[k][l].multiply(inverseStdByInput(l, i, j)));
        }

        // (15)
        BigDecimal[][] closedForm() {
            return batch((i, j) -> {
                BigDecimal meanOfDy = quotient(sum(rows, k -> dy[k][j]), rows);
                BigDecimal meanOfDyXHat = quotient(sum(rows, k -> dy[k][j].multiply(xHat[k][j])), rows);
                BigDecimal projected = dy[i][j].subtract(meanOfDy).subtract(xHat[i][j].multiply(meanOfDyXHat));
                return gamma[0][j].multiply(v[0][j]).multiply(projected);
            });
        }

        // (16)
        BigDecimal[][] gammaGradient() {
            return row(l -> sum(rows, k -> dy[k][l].multiply(xHat[k][l])));
        }

        // (17)
        BigDecimal[][] betaGradient() {
            return row(l -> sum(rows, k -> dy[k][l]));
        }

        // (18)
        BigDecimal[][] inputGradient() {
            BigDecimal[] dgamma = gammaGradient()[0];
            BigDecimal[] dbeta = betaGradient()[0];
            return batch((i, j) -> {
                BigDecimal withoutBeta = dy[i][j].subtract(quotient(dbeta[j], rows));
                BigDecimal projected = withoutBeta.subtract(xHat[i][j].multiply(quotient(dgamma[j], rows)));
                return gamma[0][j].multiply(v[0][j]).multiply(projected);
            });
        }

        // On the way to (20)
        BigDecimal[][] squaresOfNormalized() {
            return row(j -> {
                BigDecimal share = variance[0][j].divide(variance[0][j].add(delta), PRECISION);
                return share.multiply(BigDecimal.valueOf(rows));
            });
        }

        // (20)
        BigDecimal[][] inputGradientAlongNormalized() {
            BigDecimal[] dgamma = gammaGradient()[0];
            return row(j -> {
                BigDecimal share = delta.divide(variance[0][j].add(delta), PRECISION);
                return gamma[0][j].multiply(v[0][j]).multiply(dgamma[j]).multiply(share);
            });
        }

        // In (25)
        BigDecimal[][] unbiasedVariance() {
            return row(l -> quotient(variance[0][l].multiply(BigDecimal.valueOf(rows)), rows - 1));
        }

        // (26)
        BigDecimal[][] evaluated(BigDecimal[][] runningMean, BigDecimal[][] runningVariance) {
            return batch((k, l) -> {
                BigDecimal std = runningVariance[0][l].add(delta).sqrt(PRECISION);
                BigDecimal centered = h[k][l].subtract(runningMean[0][l]);
                return gamma[0][l].multiply(centered).divide(std, PRECISION).add(beta[0][l]);
            });
        }

        BigDecimal[][] batch(Entry entry) {
            return matrix(rows, columns, entry);
        }

        BigDecimal[][] row(IntFunction<BigDecimal> entry) {
            return matrix(1, columns, (k, l) -> entry.apply(l));
        }

        @Override
        public String toString() {
            return "N = " + rows + ", L = " + columns + ", δ = " + delta.doubleValue() + ", seed " + seed;
        }
    }

    /** X, W, b and the gradient dh of a loss. Its methods are the equations of an affine layer at this point. */
    static final class AffinePoint {
        final String name;
        final int rows;
        final int inputs;
        final int outputs;
        final BigDecimal[][] x;
        final BigDecimal[][] w;
        final BigDecimal[][] b;
        final BigDecimal[][] dh;

        AffinePoint(String name, BigDecimal[][] x, BigDecimal[][] w, BigDecimal[][] b, BigDecimal[][] dh) {
            this.name = name;
            this.rows = x.length;
            this.inputs = w.length;
            this.outputs = b[0].length;
            this.x = x;
            this.w = w;
            this.b = b;
            this.dh = dh;
        }

        static AffinePoint drawn(long seed, int rows, int inputs, int outputs) {
            Random random = new Random(seed);
            return new AffinePoint(
                    "N = " + rows + ", D = " + inputs + ", L = " + outputs + ", seed " + seed,
                    uniform(random, rows, inputs),
                    uniform(random, inputs, outputs),
                    uniform(random, 1, outputs),
                    uniform(random, rows, outputs));
        }

        /** The point of all magnitudes. There an equation gives the sum of the magnitudes of its terms. */
        AffinePoint ofMagnitudes() {
            return new AffinePoint(name, absolute(x), absolute(w), absolute(b), absolute(dh));
        }

        // (21)
        BigDecimal[][] weightGradient() {
            return matrix(inputs, outputs, (d, l) -> sum(rows, k -> x[k][d].multiply(dh[k][l])));
        }

        // (22)
        BigDecimal[][] biasGradient() {
            return matrix(1, outputs, (r, l) -> sum(rows, k -> dh[k][l]));
        }

        // (23)
        BigDecimal[][] inputGradient() {
            return matrix(rows, inputs, (k, d) -> sum(outputs, l -> dh[k][l].multiply(w[d][l])));
        }

        @Override
        public String toString() {
            return name;
        }
    }

    // (7), for one h_ij
    static BigDecimal chained(BigDecimal[][] dy, BigDecimal[][] outputByNormalized, BigDecimal[][] normalizedByInput) {
        BigDecimal sum = BigDecimal.ZERO;
        for (int k = 0; k < dy.length; k++) {
            for (int l = 0; l < dy[k].length; l++) {
                sum = sum.add(dy[k][l].multiply(outputByNormalized[k][l]).multiply(normalizedByInput[k][l]));
            }
        }
        return sum;
    }

    // (9), u
    static BigDecimal[][] centered(BigDecimal[][] h) {
        BigDecimal[][] mean = mean(h);
        return matrix(h.length, h[0].length, (k, l) -> h[k][l].subtract(mean[0][l]));
    }

    // (9), v
    static BigDecimal[][] inverseStd(BigDecimal[][] h, BigDecimal delta) {
        BigDecimal[] variance = variance(h)[0];
        return matrix(
                1,
                variance.length,
                (k, l) -> BigDecimal.ONE.divide(variance[l].add(delta).sqrt(PRECISION), PRECISION));
    }

    // (24)
    static BigDecimal[][] reluGradient(BigDecimal[][] da, BigDecimal[][] y) {
        return matrix(y.length, y[0].length, (k, l) -> y[k][l].signum() > 0 ? da[k][l] : BigDecimal.ZERO);
    }

    // (25)
    static BigDecimal[][] running(BigDecimal[][] running, BigDecimal momentum, BigDecimal[][] batch) {
        BigDecimal rest = BigDecimal.ONE.subtract(momentum);
        return matrix(1, batch[0].length, (k, l) -> rest.multiply(running[0][l]).add(momentum.multiply(batch[0][l])));
    }

    /** Kronecker's Δ. */
    static BigDecimal kronecker(int i, int j) {
        return i == j ? BigDecimal.ONE : BigDecimal.ZERO;
    }

    // Points and matrices

    static List<Point> points() {
        List<Point> points = new ArrayList<>();
        for (int rows : new int[] {2, 3, 5}) {
            for (int columns : new int[] {1, 2, 3}) {
                for (double epsilon : new double[] {0, 1e-5, 0.5}) {
                    points.add(Point.drawn(points.size(), rows, columns, epsilon));
                }
            }
        }
        return points;
    }

    static List<AffinePoint> affinePoints() {
        List<AffinePoint> points = new ArrayList<>();
        for (int rows : new int[] {2, 3, 5}) {
            for (int inputs : new int[] {1, 2, 4}) {
                for (int outputs : new int[] {1, 2, 3}) {
                    points.add(AffinePoint.drawn(points.size(), rows, inputs, outputs));
                }
            }
        }
        return points;
    }

    static BigDecimal[][] decimals(String... rows) {
        return Arrays.stream(rows)
                .map(row -> Arrays.stream(row.split(" ")).map(BigDecimal::new).toArray(BigDecimal[]::new))
                .toArray(BigDecimal[][]::new);
    }

    /** Doubles in [−2, 2). */
    static BigDecimal[][] uniform(Random random, int rows, int columns) {
        return matrix(rows, columns, (k, l) -> new BigDecimal(4 * random.nextDouble() - 2));
    }

    static BigDecimal[][] absolute(BigDecimal[][] values) {
        return matrix(values.length, values[0].length, (k, l) -> values[k][l].abs());
    }
}
