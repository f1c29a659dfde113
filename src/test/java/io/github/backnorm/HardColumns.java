package io.github.backnorm;

import io.github.backnorm.ExactBatchNorm.Value;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.function.Consumer;

/**
 * Groups of columns on which batch norm in plain doubles loses digits. The first eight are well-known cases. Each of
 * the others aims at one weakness. A group always gives the same columns.
 */
@SuppressWarnings("ImmutableEnumChecker") // nothing changes the arrays, and the functions have no state
enum HardColumns {
    /** Means and deviations of the order of 1. */
    ORDINARY(rows(), epsilons(1e-5), column -> {}),

    MEAN_1E8(rows(), epsilons(1e-5, 0), column -> {
        double std = column.magnitude(-3, 0);
        double mean = column.sign() * 1e8;
        column.fillH(k -> mean + std * column.gaussian());
    }),

    VARIANCE_1E_20(rows(), epsilons(1e-5, 1e-20), column -> {
        double mean = column.gaussian();
        column.fillH(k -> mean + 1e-10 * column.gaussian());
    }),

    CONSTANT(rows(), epsilons(1e-5), column -> {
        double value = column.gaussian() * column.magnitude(-6, 6);
        column.fillH(k -> value);
    }),

    VALUES_1E150(rows(), epsilons(1e-5), column -> column.fillH(k -> 1e150 * (1 + column.gaussian()))),

    /** The running variance underflows, and nothing else does. */
    VALUES_1E_200(rows(), epsilons(0), column -> column.fillH(k -> 1e-200 * (1 + column.gaussian()))),

    /** ĥ is ±1 up to ε, and dh cancels to the order of ε. */
    TWO_ROWS(rows(2, 2, 2, 2), epsilons(1e-5, 1e-20, 1e-40, 0), column -> {}),

    ROWS_300_MEAN_1E6(
            rows(300, 300, 300, 300, 300, 300, 300, 300),
            epsilons(1e-5),
            column -> column.fillH(k -> 1e6 + column.gaussian())),

    /** Entries of a column differ by factors of up to 2³⁹⁹, in h and in dy. */
    MIXED_SCALES(rows(), epsilons(1e-5, 0), column -> {
        int span = 1 + column.below(200);
        column.fillH(k -> column.sign() * column.power(span));
        column.fillDy(k -> column.sign() * column.power(span));
    }),

    /** h and γ are far from 1, each by a power of two of its own. dy brings dh near 1, as far as its range permits. */
    FAR_FROM_ONE(rows(), epsilons(0), column -> {
        double h = Math.scalb(1.0, column.below(1400) - 950);
        double gamma = Math.scalb(1.0, column.below(1600) - 800);
        double dy = Math.max(0x1p-900, Math.min(h / gamma, 0x1p900));
        column.fillH(k -> h * (3 + column.gaussian()));
        column.fillDy(k -> dy * column.gaussian());
        column.gamma *= gamma;
        column.beta *= gamma;
    }),

    /** σ² underflows or is subnormal, and ε is of its size. */
    TINY_BESIDE_EPSILON(rows(), epsilons(1e-300, 0x1p-1074), column -> {
        double scale = column.magnitude(-163, -145);
        column.fillH(k -> scale * (1 + column.gaussian()));
        column.fillDy(k -> 1e-100 * column.gaussian());
    }),

    GAMMA_ZERO_OR_NEGATIVE(rows(), epsilons(1e-5), column -> {
        double[] gammas = {0.0, -0.0, -1, -Math.abs(column.gamma), -1e-300, -1e300};
        column.gamma = gammas[column.below(gammas.length)];
        column.beta = column.below(2) == 0 ? 0 : column.beta;
    }),

    /** h and dy are nearly (1, −1, 1, −1, …), so that the mean and dβ cancel. */
    ALTERNATING_SIGNS(rows(), epsilons(1e-5, 1e-20), column -> {
        double noise = column.magnitude(-16, 0);
        column.fillH(k -> column.alternating(k) * (1 + noise * column.gaussian()));
        column.fillDy(k -> column.alternating(k) * (1 + noise * column.gaussian()));
    }),

    /** Multiples of the least double, around 0 or around the least normal number. */
    SUBNORMAL_NEIGHBORS(rows(), epsilons(0, 1e-5), column -> {
        double center = column.below(2) * Double.MIN_NORMAL;
        column.fillH(k -> center + (column.below(101) - 50) * Double.MIN_VALUE);
        column.fillDy(k -> 1e-100 * column.gaussian());
    }),

    /** The mean is of the order of 1e8, the spread a few ulps. dy is linear in h, so that dh is of the order of ε. */
    FEW_ULPS(rows(), epsilons(1e-30, 1e-20, 0), column -> {
        double center = column.sign() * 1e8 * (1 + column.uniform());
        column.fillH(k -> center + (column.below(7) - 3) * Math.ulp(center));
        double shift = column.below(2) * center;
        double slope = column.power(3);
        column.fillDy(k -> slope * (column.h[k] - shift));
    }),

    /** dy is a multiple of h up to rounding, so that dh is of the order of ε. */
    DY_ALONG_H(rows(), epsilons(1e-5, 1e-20, 1e-40), column -> {
        double slope = column.sign() * column.power(20);
        column.fillDy(k -> slope * column.h[k]);
    }),

    /** dγ cancels: one entry of dy is chosen so that Σ dy·ĥ is 0 up to the rounding of this entry. */
    DY_ACROSS_H(rows(), epsilons(1e-5, 1e-20), column -> {
        double offset = column.below(2) * 1e6;
        column.fillH(k -> offset + column.gaussian());
        int free = column.below(column.n);
        column.dy[free] = 0;
        double rest = column.exact().gradients(1, column.dy).dgamma().hi();
        double[] unit = new double[column.n];
        unit[free] = 1;
        column.dy[free] = -rest / column.exact().gradients(1, unit).dgamma().hi();
    }),

    /** The y of one row cancels to a rounding error. So does the running mean, with momentum 0.1. */
    BETA_CANCELS(rows(), epsilons(1e-5, 1e-20), column -> {
        double offset = column.below(2) * 1e6;
        column.fillH(k -> offset + column.gaussian());
        ExactBatchNorm exact = column.exact();
        column.beta = -exact.y(column.gamma, 0)[column.below(column.n)].hi();
        column.runningMean = -exact.mean().hi() / 9;
    }),

    /** The y that is inferred for one row cancels to a rounding error. */
    INFERENCE_CANCELS(rows(), epsilons(1e-5, 0), column -> {
        double offset = column.below(2) * 1e6;
        column.fillH(k -> offset + column.gaussian());
        column.runningMean = offset + column.gaussian();
        column.runningVariance = column.magnitude(-5, 5);
        Value[] y = ExactBatchNorm.inferred(
                column.h, column.runningMean, column.runningVariance, column.epsilon, column.gamma, 0);
        column.beta = -y[column.below(column.n)].hi();
    }),

    /** The sums of h and of dy cancel twice: their terms are a, b, c, −a, −b in any order, with |a| ≫ |b| ≫ |c|. */
    SUM_CANCELS(rows(5, 5, 5, 5, 5, 5), epsilons(1e-5), column -> {
        column.cancelTwice(column.h);
        column.cancelTwice(column.dy);
    }),

    /**
     * All entries but one are near one number. The distance of the other one is below or above the limit up to which
     * the library takes the mean as pivot.
     */
    ONE_OUTLIER(rows(), epsilons(1e-5, 1e-20), column -> {
        double center = column.sign() * column.magnitude(-3, 3);
        double spread = column.magnitude(-12, -1);
        column.fillH(k -> center * (1 + spread * column.gaussian()));
        column.h[column.below(column.n)] = center * 2 * column.uniform();
    });

    private static final long SEED = 20261123;
    private static final int MOST_COLUMNS = 64;
    private static final int ENTRIES = 640; // about so many in a matrix

    private final int[] rows;
    private final double[] epsilons;
    private final Consumer<Column> shape;

    HardColumns(int[] rows, double[] epsilons, Consumer<Column> shape) {
        this.rows = rows;
        this.epsilons = epsilons;
        this.shape = shape;
    }

    /** What a layer is given. It infers with the running statistics, and training starts from them. */
    record Batch(
            String name,
            double epsilon,
            Matrix h,
            Matrix dy,
            Matrix gamma,
            Matrix beta,
            Matrix runningMean,
            Matrix runningVariance) {
        @Override
        public String toString() {
            return name;
        }
    }

    @SuppressWarnings("EnumOrdinal") // only to keep the seeds apart
    List<Batch> batches() {
        List<Batch> batches = new ArrayList<>();
        for (double epsilon : epsilons) {
            for (int n : rows) {
                batches.add(batch(n, epsilon, SEED + 1000L * ordinal() + batches.size()));
            }
        }
        return batches;
    }

    private Batch batch(int n, double epsilon, long seed) {
        Random random = new Random(seed);
        Column[] columns = new Column[Math.max(4, Math.min(MOST_COLUMNS, ENTRIES / n))];
        for (int j = 0; j < columns.length; j++) {
            columns[j] = new Column(n, epsilon, random);
            shape.accept(columns[j]);
            columns[j].complete();
        }
        int l = columns.length;
        return new Batch(
                name() + ", N = " + n + ", ε = " + epsilon + ", seed " + seed,
                epsilon,
                Matrix.generate(n, l, (k, j) -> columns[j].h[k]),
                Matrix.generate(n, l, (k, j) -> columns[j].dy[k]),
                Matrix.generate(1, l, (k, j) -> columns[j].gamma),
                Matrix.generate(1, l, (k, j) -> columns[j].beta),
                Matrix.generate(1, l, (k, j) -> columns[j].runningMean),
                Matrix.generate(1, l, (k, j) -> columns[j].runningVariance));
    }

    /** Primes from 2 to several hundred. */
    private static int[] rows() {
        return rows(2, 3, 5, 7, 13, 31, 101, 331);
    }

    private static int[] rows(int... rows) {
        return rows;
    }

    private static double[] epsilons(double... epsilons) {
        return epsilons;
    }

    /** An ordinary column, which its group then changes. */
    private static final class Column {
        final int n;
        final double epsilon;
        final Random random;
        final double[] h;
        final double[] dy;
        double gamma;
        double beta;
        double runningMean = Double.NaN;
        double runningVariance = Double.NaN;

        Column(int n, double epsilon, Random random) {
            this.n = n;
            this.epsilon = epsilon;
            this.random = random;
            this.h = new double[n];
            this.dy = new double[n];
            this.gamma = gaussian();
            this.beta = gaussian();
            double mean = gaussian();
            double std = magnitude(-1, 1);
            fillH(k -> mean + std * gaussian());
            fillDy(k -> gaussian());
        }

        /**
         * Sets running statistics near those of the column, as they are in practice, unless the group has set its own.
         */
        void complete() {
            double mean = 0;
            for (double entry : h) {
                mean += entry / n;
            }
            double variance = 0;
            for (double entry : h) {
                variance += (entry - mean) * (entry - mean) / n;
            }
            if (Double.isNaN(runningMean)) {
                runningMean = mean + gaussian() * Math.sqrt(variance);
            }
            if (Double.isNaN(runningVariance)) {
                runningVariance = variance > 0 ? variance * (0.5 + uniform()) : magnitude(-10, 10);
            }
        }

        ExactBatchNorm exact() {
            return new ExactBatchNorm(h, epsilon);
        }

        void fillH(Entry entry) {
            fill(h, entry);
        }

        void fillDy(Entry entry) {
            fill(dy, entry);
        }

        private static void fill(double[] column, Entry entry) {
            for (int k = 0; k < column.length; k++) {
                column[k] = entry.at(k);
            }
        }

        /** Fills a column with a, b, c, −a, −b in random order; b is about 1e-17·a, and c about 1e-17·b. */
        void cancelTwice(double[] column) {
            double a = gaussian();
            double b = 1e-17 * gaussian();
            double[] terms = {a, b, 1e-34 * gaussian(), -a, -b};
            for (int k = 0; k < terms.length; k++) {
                int other = below(k + 1);
                column[k] = column[other];
                column[other] = terms[k];
            }
        }

        double uniform() {
            return random.nextDouble();
        }

        double gaussian() {
            return random.nextGaussian();
        }

        int below(int bound) {
            return random.nextInt(bound);
        }

        double sign() {
            return random.nextBoolean() ? 1 : -1;
        }

        double alternating(int k) {
            return k % 2 == 0 ? 1 : -1;
        }

        /** From 10^from to 10^to, uniform in the exponent. */
        double magnitude(double from, double to) {
            return StrictMath.pow(10, from + (to - from) * uniform());
        }

        /** From 2^−span to 2^span, the upper end excluded. Integer exponent and fraction are uniform. */
        double power(int span) {
            return Math.scalb(1 + uniform(), below(2 * span) - span);
        }
    }

    @FunctionalInterface
    private interface Entry {
        double at(int k);
    }
}
