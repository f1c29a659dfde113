package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.within;

import io.github.backnorm.ExactBatchNorm.Gradients;
import io.github.backnorm.ExactBatchNorm.Value;
import io.github.backnorm.HardColumns.Batch;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Batch norm against exact arithmetic, through the public API: the bound of docs/numerics.md, {@code |computed − z| ≤
 * 1 ulp(z) + N²·2⁻⁹⁶·S(z)}, for every output of every column; and with ½ ulp in place of 1 where little cancels.
 */
final class BatchNormAccuracyTest {
    private static final long SEED = 20261123;

    /** The bound's second term is N²·2⁻⁹⁶·S. */
    private static final double SECOND_TERM = 0x1p-96;

    /**
     * Where |z| ≥ N²·2⁻⁴³·S, the bound holds with ½ ulp(z) in place of 1.
     *
     * <p>By the proof of the bound a result is fl(x), a number x rounded once. The error of x is e = |x − z| ≤
     * N²·2⁻⁹⁶·S ≤ 2⁻⁵³·|z| &lt; ulp(z). If no power of two lies between z and x, the rounding adds at most ½ ulp(z) to
     * e. If x lies beyond a power of two, doubles are 2 ulp(z) apart there. The power is less than ulp(z) from x, so
     * fl(x) is the power. It lies between z and x, and its error is at most e.
     */
    private static final double ROUNDED_ONCE = 0x1p-43;

    /** The most that rounding to the nearest double costs, in ulp. */
    private static final double ROUNDING = 0.5;

    /** Below this the low word of an exact result may have underflowed, and the error in ulp with it. */
    private static final double LEAST_ROUNDED_ONCE = Double.MIN_NORMAL * 0x1p53;

    /** The columns of a batch that are computed in blocks, too. */
    private static final int IN_BLOCKS = 12;

    /** By how many ulp the textbook has to miss the bound, in y or dh, or a group proves nothing. */
    private static final double TEXTBOOK_MISS = 1e3;

    /** The momentum of the running statistics under test; with momentum 1 they are those of the batch. */
    private static final double MOMENTUM = 0.1;

    private static final Map<HardColumns, Measured> MEASURED = new ConcurrentHashMap<>();

    private enum Output {
        Y,
        DH,
        DGAMMA,
        DBETA,
        MEAN,
        VARIANCE,
        RUNNING_MEAN,
        RUNNING_VARIANCE,
        INFERRED_Y,
        COLUMN_SUM,
        COLUMN_MEAN,
        BIAS_GRADIENT
    }

    // The bound

    @ParameterizedTest
    @EnumSource(HardColumns.class)
    void allOutputs_hardColumns_withinBound(HardColumns group) {
        measured(group).library.values().forEach(Errors::assertWithinBound);
    }

    @ParameterizedTest
    @EnumSource(HardColumns.class)
    void outputsThatHardlyCancel_hardColumns_roundedOnce(HardColumns group) {
        Map<Output, Errors> library = measured(group).library;

        library.values().forEach(Errors::assertRoundedOnce);
        assertThat(library.get(Output.Y).roundedOnce + library.get(Output.DH).roundedOnce)
                .as("entries of y and dh that are looked at")
                .isPositive();
    }

    @ParameterizedTest
    @EnumSource(HardColumns.class)
    void textbook_hardColumns_missesBound(HardColumns group) {
        Map<Output, Errors> textbook = measured(group).textbook;

        assertThat(Math.max(textbook.get(Output.Y).worstMiss, textbook.get(Output.DH).worstMiss))
                .as("ulp by which the textbook's two passes miss the bound")
                .isGreaterThanOrEqualTo(TEXTBOOK_MISS);
    }

    /** The most rows of the promise, and rows enough for errors to pile up. */
    @ParameterizedTest
    @ValueSource(ints = {4096, 65536})
    void allOutputs_manyRows_withinBound(int n) {
        Random random = new Random(SEED);
        double[] h = random.doubles(n, 1e6, 1e6 + 1).toArray();
        double[] dy = random.doubles(n, -1, 3).toArray();

        assertWithinBound(batch("seed " + SEED, 1e-5, h, dy, -1.25, 0.5));
    }

    // The bound in blocks

    /** Of blocks of random sizes. What is left to {@code ScaledColumn} in one batch is refused, and nothing else. */
    @ParameterizedTest
    @EnumSource(HardColumns.class)
    void allOutputs_hardColumnsInBlocks_withinBoundOrRefused(HardColumns group) {
        Random random = new Random(SEED);
        Map<Output, Errors> errors = newErrors();
        for (Batch batch : group.batches()) {
            List<Integer> moderate = new ArrayList<>();
            for (int j = 0; j < Math.min(IN_BLOCKS, batch.h().columns()); j++) {
                Batch alone = columns(batch, List.of(j));
                if (isModerate(alone)) {
                    moderate.add(j);
                } else {
                    assertThatIllegalArgumentException()
                            .as("%s, column %d", batch, j)
                            .isThrownBy(() -> InBlocks.of(alone, 1, random))
                            .withMessageContaining(" column 0 of ");
                }
            }
            if (!moderate.isEmpty()) {
                compare(columns(batch, moderate), random, errors);
            }
        }
        errors.values().forEach(Errors::assertWithinBound);
        errors.values().forEach(Errors::assertRoundedOnce);
    }

    private static void compare(Batch batch, Random random, Map<Output, Errors> errors) {
        int n = batch.h().rows();
        Pass pass = InBlocks.of(batch, 1, random);
        Pass running = InBlocks.of(batch, MOMENTUM, random);
        for (int j = 0; j < batch.h().columns(); j++) {
            double gamma = batch.gamma().get(0, j);
            ExactBatchNorm exact = new ExactBatchNorm(Matrices.column(batch.h(), j), batch.epsilon());
            Gradients gradients = exact.gradients(gamma, Matrices.column(batch.dy(), j));
            Comparison comparison = new Comparison(batch, j, errors);
            comparison.entries(Output.Y, n, pass.y, exact.y(gamma, batch.beta().get(0, j)));
            comparison.entries(Output.DH, n, pass.dh, gradients.dh());
            comparison.row(Output.DGAMMA, pass.dgamma, gradients.dgamma());
            comparison.row(Output.DBETA, pass.dbeta, gradients.dbeta());
            comparison.row(Output.MEAN, pass.mean, exact.mean());
            comparison.row(Output.VARIANCE, pass.variance, exact.unbiasedVariance());
            double oldMean = batch.runningMean().get(0, j);
            comparison.row(Output.RUNNING_MEAN, running.mean, exact.runningMean(oldMean, MOMENTUM));
            double oldVariance = batch.runningVariance().get(0, j);
            comparison.row(Output.RUNNING_VARIANCE, running.variance, exact.runningVariance(oldVariance, MOMENTUM));
        }
    }

    private static Batch columns(Batch batch, List<Integer> columns) {
        UnaryOperator<Matrix> select = matrix -> matrix.transpose()
                .selectRows(columns.stream().mapToInt(j -> j).toArray())
                .transpose();
        return new Batch(
                batch.name() + ", columns " + columns,
                batch.epsilon(),
                select.apply(batch.h()),
                select.apply(batch.dy()),
                select.apply(batch.gamma()),
                select.apply(batch.beta()),
                select.apply(batch.runningMean()),
                select.apply(batch.runningVariance()));
    }

    /** Whether the kernels can compute the only column: docs/numerics.md, "How it is computed", 7. */
    private static boolean isModerate(Batch batch) {
        BigDecimal n = BigDecimal.valueOf(batch.h().rows());
        BigDecimal sum = ofEntries(batch.h(), BigDecimal.ONE::multiply);
        BigDecimal squares = ofEntries(batch.h(), entry -> entry.multiply(entry));
        BigDecimal spread = squares.multiply(n).subtract(sum.multiply(sum)); // N·Σu²
        boolean inRange = squares.doubleValue() > 0 && squares.doubleValue() < Double.MAX_VALUE;
        boolean moved =
                inRange && sum.multiply(sum).compareTo(spread.multiply(n).multiply(BigDecimal.valueOf(5))) > 0;
        BigDecimal dSquares = moved ? spread.divide(n, ExactBatchNorm.PRECISION) : squares;
        BigDecimal inside =
                spread.divide(n.multiply(n), ExactBatchNorm.PRECISION).add(new BigDecimal(batch.epsilon()));
        BigDecimal gamma = new BigDecimal(batch.gamma().get(0, 0));
        return isModerateOrZero(dSquares)
                && inside.signum() > 0
                && isModerateOrZero(inside)
                && isModerateOrZero(gamma.multiply(gamma).divide(inside, ExactBatchNorm.PRECISION))
                && Math.abs(batch.beta().get(0, 0)) <= 0x1p300
                && isModerateOrZero(ofEntries(batch.dy(), entry -> entry.multiply(entry)));
    }

    private static BigDecimal ofEntries(Matrix column, UnaryOperator<BigDecimal> term) {
        return Arrays.stream(column.toArray())
                .mapToObj(entry -> term.apply(new BigDecimal(entry)))
                .reduce(BigDecimal.ZERO, BigDecimal::add);
    }

    private static boolean isModerateOrZero(BigDecimal square) {
        BigDecimal most = BigDecimal.valueOf(2).pow(600);
        boolean moderate = square.compareTo(most) <= 0 && square.multiply(most).compareTo(BigDecimal.ONE) >= 0;
        return moderate || square.signum() == 0;
    }

    /** A block's layers around the batch norm: one keeps dh, the other keeps y and returns the given dy. */
    private record InBlocks(Network network, Probe front, Probe back) {
        private static final class Probe extends DelegatingLayer {
            private final Matrix given;
            private Matrix x;
            private Matrix dy;

            Probe(Matrix given) {
                super(new Network());
                this.given = given;
            }

            @Override
            public Matrix forward(Matrix x) {
                this.x = x;
                return x;
            }

            @Override
            public Matrix backward(Matrix dy) {
                this.dy = dy;
                return given;
            }
        }

        static InBlocks of(Batch batch, double momentum, Matrix dy) {
            Probe front = new Probe(dy);
            Probe back = new Probe(dy);
            return new InBlocks(new Network(front, layer(batch, momentum), back), front, back);
        }

        static Pass of(Batch batch, double momentum, Random random) {
            Blocks h = Blocks.random(batch.h(), random);
            List<InBlocks> blocks = new ArrayList<>();
            for (Matrix dy : Blocks.ofSizes(batch.dy(), h.sizes()).rows()) {
                blocks.add(of(batch, momentum, dy));
            }
            InBlocks driver = of(batch, momentum, batch.dy());
            List<Shard> shards = h.shards(
                    blocks.stream().map(InBlocks::network).iterator()::next, x -> y -> Loss.meanSquaredError(y, y));
            Blocks.step(Shard.follower(driver.network, blocks.size()), shards, random);
            BatchNorm norm = (BatchNorm) driver.network.layers().get(1);
            return new Pass(
                    rows(blocks, block -> block.back.x),
                    rows(blocks, block -> block.front.dy),
                    norm.gamma().gradient(),
                    norm.beta().gradient(),
                    norm.runningMean(),
                    norm.runningVariance());
        }

        /** The rows of all blocks that have some. */
        private static Matrix rows(List<InBlocks> blocks, Function<InBlocks, Matrix> part) {
            List<double[]> rows = new ArrayList<>();
            for (InBlocks block : blocks) {
                Matrix matrix = part.apply(block);
                for (int i = 0; matrix != null && i < matrix.rows(); i++) {
                    rows.add(matrix.row(i).toArray());
                }
            }
            return Matrix.ofRows(rows.toArray(double[][]::new));
        }
    }

    // The hostile cases, one column each

    /** y cancels to −1.9e-17. */
    @Test
    void hostile_betaTakesBackXHat_withinBound() {
        assertWithinBound(batch("y", 1e-5, row(1, 2, 4), row(1, 0.3, -0.2), 1, 1.0690415314502975));
    }

    @Test
    void hostile_twoRowsFarApart_withinBound() {
        assertWithinBound(batch("dh", 1e-5, row(1e8, -1e8), row(1, 0.3), 1, 0));
    }

    @ParameterizedTest
    @ValueSource(doubles = {1e-20, 1e-40})
    void hostile_twoRowsTinyEpsilon_withinBound(double epsilon) {
        assertWithinBound(batch("dh", epsilon, row(1, -1), row(1, 0.3), 1, 0));
    }

    @ParameterizedTest
    @ValueSource(doubles = {1e-20, 1e-30, 1e-40})
    void hostile_dyIsH_withinBound(double epsilon) {
        double[] h = {0.1, 0.7, 1.3, 2.9, -0.4};

        assertWithinBound(batch("dh", epsilon, h, h, 1, 0));
    }

    /** dγ cancels: dy is across h − μ but for roundings. */
    @Test
    void hostile_dyAcrossH_withinBound() {
        assertWithinBound(batch("dγ", 1e-5, row(0.1, 0.2, 0.4), row(0.2, -0.3, 0.1), 1, 0));
        assertWithinBound(batch("dγ", 1e-5, row(0.1, 0.7, 1.3), row(0.3, -0.7, 0.3), 1, 0));
    }

    @Test
    void hostile_fortyOrdersOfMagnitude_withinBound() {
        double[] h = {1e20, 1, 1e-20, -1e20, -1};

        assertWithinBound(batch("mean", 1e-5, h, h, 1, 0));
        assertWithinBound(batch("mean", 1e-5, h, row(1, 1e-17, 1e-34, -1, -1e-17), 1, 0));
    }

    @Test
    void hostile_sumCancelsTwice_withinBound() {
        double[] terms = {1, 1e-17, 1e-34, -1, -1e-17};

        assertWithinBound(batch("sum", 1e-5, terms, terms, 1, 0));
    }

    /** The mean is no double; what is left of dh is of the order of ε. */
    @ParameterizedTest
    @ValueSource(doubles = {1e-30, 1e-20, 1e-5})
    void hostile_fewUlpsAboutLargeMean_withinBound(double epsilon) {
        double ulp = Math.ulp(1e8);
        double[] h = {1e8, 1e8 + ulp, 1e8 + 3 * ulp, 1e8 - 2 * ulp, 1e8 + ulp, 1e8, 1e8 - ulp};

        assertWithinBound(batch("dh = 0 at ε = 0", epsilon, h, h, 1, 0));
        assertWithinBound(
                batch("dh", epsilon, h, Arrays.stream(h).map(x -> x - 1e8).toArray(), 1, 0));
    }

    /** γ·v is beyond the range of double on either side; γ·v·dy is not. */
    @ParameterizedTest
    @CsvSource({"1e-200, 1e200, 1e-250", "1e-300, 1e300, 1e-300", "1e150, 1e-250, 1e250", "1e120, 1e-300, 1e120"})
    void hostile_gammaTimesInverseStdFarFromOne_withinBound(double h, double gamma, double dy) {
        assertWithinBound(
                batch("γ·v", 0, row(h, 2.5 * h, -h / 3), row(dy, -0.7 * dy, 1.1 * dy), 1.1 * gamma, 0.3 * gamma));
    }

    /** dy is constant, so dh is 0 whatever γ·v is. */
    @ParameterizedTest
    @CsvSource({
        "1e-200, 1e200, 1e-110",
        "1e-200, 1e250, 1e-150",
        "1e-300, 1e300, 1e-300",
        "1e-320, 1e308, 1e-321",
        "1e150, 1e-300, 1",
        "1e150, 5e-324, 1e120"
    })
    void hostile_constantDyHugeOrTinyFactor_withinBound(double h, double gamma, double dy) {
        assertWithinBound(batch("γ·v", 0, row(h, 2 * h, 4 * h), row(dy, dy, dy), gamma, 0.3 * gamma));
    }

    /** Where σ² + ε is 0 or all of dy is, dh is 0 and y = β with the largest γ too. */
    @ParameterizedTest
    @CsvSource({"0, 0, 1", "1, 0, 1e300", "1e-320, 1, 0", "1e-320, -1, 0"})
    void hostile_zeroTimesHugeFactor_withinBound(double h, double step, double dy) {
        double[] column = {h, h + step * Double.MIN_VALUE, h - step * Double.MIN_VALUE};

        assertWithinBound(batch("dh = 0", 0, column, row(dy, 0.3 * dy, -dy), 1e300, 0.1));
        assertWithinBound(batch("dh = 0", 0, column, row(dy, 0.3 * dy, -dy), -1e250, 0.1));
    }

    /** Nothing is left of dy, and γ·v·dy would be 1e920. */
    @Test
    void hostile_zeroTimesFactorBeyondDouble_withinBound() {
        assertWithinBound(batch("dh = 0", 0, row(1e-320, -1e-320), row(1e300, 1e300), 1e300, 0));
    }

    /** Squares overflow, the variance does not. */
    @Test
    void hostile_squaresOverflow_withinBound() {
        double[] h = new double[1009];
        h[500] = 1e155;
        double[] dy = new Random(SEED).doubles(h.length, -1, 1).toArray();

        assertWithinBound(batch("seed " + SEED, 1e-5, h, dy, 1e100, 0.1));
    }

    /** Gradients so small that dβ/N is not a normal number, and γ·v that makes normal ones of them. */
    @Test
    void hostile_subnormalDy_withinBound() {
        double least = Double.MIN_VALUE;

        assertWithinBound(batch("dy", 0, row(1e-100, 3e-100, 4e-100), row(least, -5 * least, 3 * least), 1e10, 0));
        assertWithinBound(batch("dy", 1e-5, row(1, 3, 4), row(1e-310, -5e-311, 7e-310), 1e30, 0));
    }

    /** dβ = 3·1.5e308 is beyond the range of double, dh is not. */
    @Test
    void hostile_betaGradientOverflows_othersWithinBound() {
        Batch batch = batch("dβ", 1e-5, row(1, 2, 4), row(1.5e308, 1.6e308, 1.4e308), 1e-3, 0);
        BatchNorm layer = layer(batch, 1);
        layer.forward(batch.h());
        Matrix dh = layer.backward(batch.dy());
        Gradients exact = new ExactBatchNorm(Matrices.column(batch.h(), 0), batch.epsilon())
                .gradients(1e-3, Matrices.column(batch.dy(), 0));
        Map<Output, Errors> errors = newErrors();

        Comparison comparison = new Comparison(batch, 0, errors);
        comparison.entries(Output.DH, 3, dh, exact.dh());
        comparison.row(Output.DGAMMA, layer.gamma().gradient(), exact.dgamma());

        errors.values().forEach(Errors::assertWithinBound);
        assertThat(layer.beta().gradient().get(0, 0)).isEqualTo(Double.POSITIVE_INFINITY);
    }

    /** The dh of the column with all rows the same, in the scale that the others do not have. */
    @Test
    void hostile_constantColumnTinyEpsilon_withinBound() {
        assertWithinBound(batch("v", 0x1p-1074, row(1e8, 1e8, 1e8), row(1, 0.3, -0.2), 1e-3, 0.1));
        assertWithinBound(batch("v", 1e-300, row(-1e300, -1e300), row(1, 0.3), 1e-3, 0.1));
        assertWithinBound(batch("v", 1e300, row(0.1, 0.1), row(1, 0.3), 1e-3, 0.1));
    }

    /** An ε that is all of σ² + ε, nearly all, half, or nearly nothing of it. */
    @ParameterizedTest
    @ValueSource(doubles = {1e-300, 1e-100, 1e-20, 1e-16, 1, 1e16, 1e20, 1e100, 1e300, Double.MAX_VALUE})
    void hostile_epsilonOfAnySize_withinBound(double epsilon) {
        double[] dy = {1, -0.7, 0.2, 1.1};
        for (double h : new double[] {1e-150, 1e-130, 1e-100, 1e-10, 1, 1e10, 1e100, 1e130, 1e150}) {
            assertWithinBound(batch("h about " + h, epsilon, row(h, 0.3 * h, -h, 2 * h), dy, 1.7, 1e-10));
        }
    }

    // Inference with statistics of any size

    @ParameterizedTest
    @CsvSource({
        "1e300, 0, 1e300, 1e-300",
        "1e300, -1e300, 1e308, 5e-324",
        "1e-300, 1e-301, 1e-300, 1e300",
        "3e-320, 1e-320, 5e-324, 1e200",
        "3e-320, 1e-320, 1e-300, 1e300",
        "1e-320, -1e-310, 1e300, 1.7e308",
        "1e8, 1e8, 1e-300, 1e150"
    })
    void hostile_inferFarFromOne_withinBound(double h, double mean, double variance, double gamma) {
        assertInferenceWithinBound(0, mean, variance, gamma, h, 0.7 * h, Math.nextUp(h));
    }

    /**
     * h − μ overflows or nearly does, y does not; the variance is subnormal, of the size of ε, or beyond 1/ulp of it.
     */
    @ParameterizedTest
    @CsvSource({
        "1.5e308, -1.5e308, 1e300, 1e-5",
        "1.7e308, -1.7e308, 1.3e-315, 0",
        "-1.5e308, 1.5e308, 3.3e213, 1.7e178",
        "1e30, -4.2e293, 6.7e285, 4.9e293",
        "1e-200, 1e300, 1.1e-5, 1e-5",
        "1e300, 1e290, 1e-5, 1e300",
        "1e300, 1e290, 1.7e308, 1.7e308",
        "1e300, 1e307, 1e-5, 1.7e308"
    })
    void hostile_inferDifferenceOverflows_withinBound(double h, double mean, double variance, double epsilon) {
        assertInferenceWithinBound(epsilon, mean, variance, 1.1e-170, h, mean / 3, -mean, 0);
    }

    private static void assertInferenceWithinBound(
            double epsilon, double mean, double variance, double gamma, double... h) {
        BatchNorm layer = new BatchNorm(1, epsilon, MOMENTUM);
        layer.gamma().setValue(Matrix.ofRow(gamma));
        layer.setRunningStatistics(Matrix.ofRow(mean), Matrix.ofRow(variance));
        Errors errors = new Errors();
        Value[] exact = ExactBatchNorm.inferred(h, mean, variance, epsilon, gamma, 0);

        for (int k = 0; k < h.length; k++) {
            errors.add("y[" + k + "]", 1, layer.infer(Matrix.ofRow(h[k])).get(0, 0), exact[k]);
        }

        errors.assertWithinBound();
    }

    // What has to be exact

    @ParameterizedTest
    @ValueSource(doubles = {0, 1e-40, 1e-5, 1e300})
    void constantColumns_anyEpsilon_exact(double epsilon) {
        double[] values = {0, -0.0, 1, 0.1, -1e8, 1e-300, 3e-320, 1e300, Double.MAX_VALUE, -Double.MIN_VALUE};
        Matrix h = Matrix.generate(7, values.length, (k, j) -> values[j]);
        Matrix dy = Matrices.uniform(7, values.length, SEED);
        Matrix beta = Matrices.uniform(1, values.length, SEED + 1);
        BatchNorm layer = new BatchNorm(values.length, epsilon, 1);
        layer.gamma().setValue(Matrices.uniform(1, values.length, SEED + 2));
        layer.beta().setValue(beta);

        Matrix y = layer.forward(h);
        Matrix dh = layer.backward(dy);

        assertThat(y)
                .as("y, seed %d", SEED)
                .isEqualTo(Matrix.zeros(7, values.length).plusRow(beta));
        assertZero("dγ", layer.gamma().gradient());
        assertZero("mean − value", layer.runningMean().minus(h.row(0)));
        assertZero("variance", layer.runningVariance());
        if (epsilon == 0) {
            assertZero("dh", dh);
        }
    }

    private static void assertZero(String what, Matrix matrix) {
        assertThat(matrix.map(Math::abs))
                .as("|%s|, seed %d", what, SEED)
                .isEqualTo(Matrix.zeros(matrix.rows(), matrix.columns()));
    }

    @Test
    void gammaZero_anyColumn_outputIsBetaAndGradientIsZero() {
        Matrix h = Matrices.uniform(5, 2, SEED);
        Matrix beta = Matrix.ofRow(0.1, -3);
        BatchNorm layer = new BatchNorm(2);
        layer.gamma().setValue(Matrix.ofRow(0.0, -0.0));
        layer.beta().setValue(beta);

        assertThat(layer.forward(h)).isEqualTo(Matrix.zeros(5, 2).plusRow(beta));
        assertThat(layer.infer(h)).isEqualTo(Matrix.zeros(5, 2).plusRow(beta));
        assertZero("dh", layer.backward(Matrices.uniform(5, 2, SEED + 1)));
    }

    @Test
    void momentumZero_anyBatch_keepsRunningStatistics() {
        Matrix mean = Matrix.ofRow(0.1, -3e300, Double.MIN_VALUE);
        Matrix variance = Matrix.ofRow(0.1, 1.7e308, Double.MIN_VALUE);
        BatchNorm layer = new BatchNorm(3, 1e-5, 0);
        layer.setRunningStatistics(mean, variance);

        layer.forward(Matrices.uniform(5, 3, SEED));

        assertThat(layer.runningMean()).as("seed %d", SEED).isEqualTo(mean);
        assertThat(layer.runningVariance()).as("seed %d", SEED).isEqualTo(variance);
    }

    /**
     * Powers of two change exponents only, of columns that are scaled for the computation and of those that are not:
     * h by 2^p, dy by 2^q, γ and β by 2^r.
     */
    @ParameterizedTest
    @CsvSource({
        "1, 0, 0",
        "0, -1, 0",
        "-600, -600, 0",
        "-600, 600, -700",
        "-600, 0, 0",
        "500, 600, 0",
        "500, -600, 700",
        "0, 600, 0",
        "0, -600, 0",
        "0, 0, 600",
        "-900, 0, -700",
        "-297, 297, 3",
        "-298, 298, 3",
        "-299, 299, 3",
        "-300, 300, 3",
        "-301, 301, 3",
        "-302, 302, 3",
        "297, -297, 3",
        "298, -298, 3",
        "299, -299, 3",
        "300, -300, 3",
        "301, -301, 3",
        "302, -302, 3",
        "0, -299, -299",
        "299, -299, -299",
        "-299, 299, 299",
        "-299, 299, 0",
        "-397, 397, 3",
        "-398, 398, 3",
        "-399, 399, 3",
        "-400, 400, 3",
        "-401, 401, 3",
        "-402, 402, 3",
        "397, -397, 3",
        "398, -398, 3",
        "399, -399, 3",
        "400, -400, 3",
        "401, -401, 3",
        "402, -402, 3"
    })
    void powersOfTwo_zeroEpsilon_scaleResultsExactly(int p, int q, int r) {
        for (int n : new int[] {2, 3, 7, 31}) {
            Matrix h = Matrices.uniform(n, 8, SEED).plusRow(Matrix.ofRow(0, 0, 0, 1, 1, 1e3, 1e8, -1e8));
            Matrix dy = Matrices.uniform(n, 8, SEED + 1);
            Matrix gamma = Matrices.uniform(1, 8, SEED + 2);
            Matrix beta = Matrices.uniform(1, 8, SEED + 3);
            Pass pass = Pass.of(h, dy, gamma, beta);

            Pass scaled = Pass.of(scaled(h, p), scaled(dy, q), scaled(gamma, r), scaled(beta, r));

            String seed = "N = " + n + ", seed " + SEED;
            assertThat(scaled.y).as("y, %s", seed).isEqualTo(scaled(pass.y, r));
            assertSameUnlessCancelled(
                    scaled.dh, scaled(pass.dh, q + r - p), scaled(sizes(pass, dy, gamma), q + r - p), seed);
            assertThat(scaled.dgamma).as("dγ, %s", seed).isEqualTo(scaled(pass.dgamma, q));
            assertThat(scaled.dbeta).as("dβ, %s", seed).isEqualTo(scaled(pass.dbeta, q));
            assertThat(scaled.mean).as("mean, %s", seed).isEqualTo(scaled(pass.mean, p));
            if (p > -450) { // not where it underflows
                assertThat(scaled.variance).as("variance, %s", seed).isEqualTo(scaled(pass.variance, 2 * p));
            }
        }
    }

    /**
     * At least S(dh) of each column of a pass with ε = 0. No entry is more than √N standard deviations off the mean.
     */
    private static Matrix sizes(Pass pass, Matrix dy, Matrix gamma) {
        int n = dy.rows();
        return Matrix.generate(1, dy.columns(), (row, j) -> {
            double largest = IntStream.range(0, n)
                    .mapToDouble(i -> Math.abs(dy.get(i, j)))
                    .max()
                    .orElseThrow();
            double std = Math.sqrt(pass.variance.get(0, j) * (n - 1) / n);
            return Math.abs(gamma.get(0, j)) / std * largest * (2 + Math.sqrt(n));
        });
    }

    /** The same bits, or no farther apart than what is promised of sums that cancel. */
    private static void assertSameUnlessCancelled(Matrix actual, Matrix expected, Matrix sizes, String seed) {
        int n = actual.rows();
        for (int j = 0; j < actual.columns(); j++) {
            for (int i = 0; i < n; i++) {
                assertThat(actual.get(i, j))
                        .as("dh[%d][%d], %s", i, j, seed)
                        .isCloseTo(expected.get(i, j), within(n * n * SECOND_TERM * sizes.get(0, j)));
            }
        }
    }

    /** A shift that leaves the differences of the rows exact changes the mean and the pivot, and no rounded result. */
    @Test
    void shift_exactInDoubles_sameBits() {
        Matrix h = Matrices.uniform(13, 5, SEED).map(entry -> Math.rint(entry * 0x1p20));
        Matrix dy = Matrices.uniform(13, 5, SEED + 1);
        Matrix one = Matrix.filled(1, 5, 1);

        Pass pass = Pass.of(h, dy, one, one);
        Pass shifted = Pass.of(h.map(entry -> entry + 0x1p51), dy, one, one);

        assertThat(shifted.y).as("y, seed %d", SEED).isEqualTo(pass.y);
        assertThat(shifted.dh).as("dh, seed %d", SEED).isEqualTo(pass.dh);
        assertThat(shifted.dgamma).as("dγ, seed %d", SEED).isEqualTo(pass.dgamma);
        assertThat(shifted.variance).as("variance, seed %d", SEED).isEqualTo(pass.variance);
    }

    /** A column's bits do not depend on its neighbors, whatever their scales. */
    @Test
    void columns_besideOthersOfAnyScale_sameBitsAsAlone() {
        int n = 7;
        Matrix factors = Matrix.ofRow(1, 1e-200, 1e150, 0, 1, 3e-320, 1e8);
        Matrix dyFactors = Matrix.ofRow(1, 1e-250, 1, 1e200, 0, 1e-200, 3e-320);
        Matrix h = Matrices.uniform(n, 7, SEED).hadamard(Matrix.zeros(n, 7).plusRow(factors));
        Matrix dy = Matrices.uniform(n, 7, SEED + 1).hadamard(Matrix.zeros(n, 7).plusRow(dyFactors));
        Matrix one = Matrix.filled(1, 7, 1);
        Pass pass = Pass.of(h, dy, one, one);
        for (int j = 0; j < 7; j++) {
            Matrix single = Matrix.filled(1, 1, 1);

            Pass alone = Pass.of(single(h, j), single(dy, j), single, single);

            assertThat(alone.y).as("y[%d], seed %d", j, SEED).isEqualTo(single(pass.y, j));
            assertThat(alone.dh).as("dh[%d], seed %d", j, SEED).isEqualTo(single(pass.dh, j));
            assertThat(alone.dgamma).as("dγ[%d], seed %d", j, SEED).isEqualTo(single(pass.dgamma, j));
            assertThat(alone.dbeta).as("dβ[%d], seed %d", j, SEED).isEqualTo(single(pass.dbeta, j));
        }
    }

    // Overflow, docs/design.md, decision 5

    /** Of the two rows ±a the mean is 0, the variance a², the unbiased variance 2a². */
    @Test
    void forward_unbiasedVarianceAtTheEdge_acceptedUpToTheLastDouble() {
        BigDecimal overflow = new BigDecimal(2).pow(1024).subtract(new BigDecimal(2).pow(970)); // rounds to infinity
        double a = Math.sqrt(Double.MAX_VALUE / 2) * (1 - 0x1p-50);
        while (new BigDecimal(Math.nextUp(a)).pow(2).multiply(new BigDecimal(2)).compareTo(overflow) < 0) {
            a = Math.nextUp(a);
        }
        double beyond = Math.nextUp(a);

        assertWithinBound(batch("unbiased variance " + 2 * a * a, 1e-5, row(a, -a), row(1, 0.3), 1, 0.1));
        assertThat(beyond * beyond).as("biased variance").isFinite();
        assertRefused(beyond, -beyond);
        assertRefused(1e154, -1e154);
    }

    @Test
    void forward_varianceBeyondDouble_rejected() {
        assertRefused(1e200, 0);
        assertRefused(1e200, 1e200, 3e200);
        assertRefused(Double.MAX_VALUE, -Double.MAX_VALUE);
        assertRefused(Double.MAX_VALUE, Math.nextDown(Double.MAX_VALUE));
    }

    @Test
    void forward_largeMeanSmallVariance_accepted() {
        double ulp = Math.ulp(1e160);

        assertWithinBound(batch("mean", 1e-5, row(1e160, 1e160 + ulp, 1e160 - 2 * ulp), row(1, 0.3, -2), 1, 0.1));
    }

    private static void assertRefused(double... h) {
        BatchNorm layer = new BatchNorm(1, 1e-5, 1);
        Matrix mean = layer.runningMean();
        Matrix variance = layer.runningVariance();

        assertThatIllegalArgumentException()
                .as("h = %s", Arrays.toString(h))
                .isThrownBy(() -> layer.forward(Matrix.of(h.length, 1, h)))
                .withMessageContaining("column 0");
        assertThat(layer.runningMean()).isSameAs(mean);
        assertThat(layer.runningVariance()).isSameAs(variance);
    }

    // NaN and infinite gradients

    /**
     * What is not finite is so where the formula in plain arithmetic is, with the same sign, and in its column alone.
     */
    @ParameterizedTest
    @ValueSource(doubles = {Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY})
    void backward_nonFiniteDy_asInPlainArithmetic(double value) {
        Matrix h = Matrix.ofRows(row(1, 1, 1), row(2, 2, 2), row(4, 4, -4));
        Matrix finite = Matrix.ofRows(row(0.3, 0.3, 1e300), row(-1, -1, -1), row(0.4, 0.4, 0.4));
        Matrix dy = Matrix.generate(3, 3, (k, j) -> k == 1 && j != 1 ? value : finite.get(k, j));
        Matrix one = Matrix.filled(1, 3, 1);
        Pass pass = Pass.of(h, dy, one, one);
        Pass withoutIt = Pass.of(h, finite, one, one);

        for (int j = 0; j < 3; j += 2) {
            Textbook plain = Textbook.of(Matrices.column(h, j), Matrices.column(dy, j), 0, 1, 1);
            assertThat(limits(Matrices.column(pass.dh, j))).as("dh[%d]", j).isEqualTo(limits(plain.dh));
            assertThat(limits(pass.dgamma.get(0, j))).as("dγ[%d]", j).isEqualTo(limits(plain.dgamma));
            assertThat(limits(pass.dbeta.get(0, j))).as("dβ[%d]", j).isEqualTo(limits(plain.dbeta));
        }
        assertThat(single(pass.dh, 1)).as("dh of the finite column").isEqualTo(single(withoutIt.dh, 1));
        assertThat(pass.dgamma.get(0, 1)).isEqualTo(withoutIt.dgamma.get(0, 1));
        assertThat(pass.dbeta.get(0, 1)).isEqualTo(withoutIt.dbeta.get(0, 1));
    }

    /** NaN and the infinities as they are, 0 for every other number. */
    private static double[] limits(double... values) {
        return Arrays.stream(values)
                .map(value -> Double.isFinite(value) ? 0 : value)
                .toArray();
    }

    // How all this is measured

    /** The errors of one output over many columns. */
    private static final class Errors {
        private int roundedOnce; // entries for which ½ ulp is enough
        private double worstRounding; // of those: what exceeds the bound's second term, in ulp
        private String worstRoundingPlace = "";
        private double worst = Double.NEGATIVE_INFINITY; // of what exceeds 1 ulp, in parts of the bound's second term
        private double worstMiss = Double.NEGATIVE_INFINITY; // of what exceeds the bound's second term, in ulp
        private String worstPlace = "";

        void add(String place, int n, double computed, Value exact) {
            assertThat(exact.hi()).as("%s, which must not overflow", place).isFinite();
            double squareOfN = (double) n * n;
            double secondTerm = squareOfN * SECOND_TERM * exact.size();
            double error = exact.error(computed);
            double ulp = exact.ulp();
            double excess = error <= ulp ? 0 : (error - ulp) / Math.max(secondTerm, Double.MIN_VALUE);
            if (excess > worst) {
                worst = excess;
                worstPlace = String.format(
                        Locale.ROOT,
                        "%s: computed %s, exact %s + %s, off by %.4g ulp; excess over 1 ulp %s·S, bound %s·S",
                        place,
                        computed,
                        exact.hi(),
                        exact.lo(),
                        error / ulp,
                        power(error <= ulp ? 0 : (error - ulp) / exact.size()),
                        power(squareOfN * SECOND_TERM));
            }
            double miss = (error - secondTerm) / ulp;
            worstMiss = Math.max(worstMiss, miss);
            if (Math.abs(exact.hi()) >= Math.max(squareOfN * ROUNDED_ONCE * exact.size(), LEAST_ROUNDED_ONCE)) {
                roundedOnce++;
                if (miss > worstRounding) {
                    worstRounding = miss;
                    worstRoundingPlace = place + ": ulp beyond the bound's second term";
                }
            }
        }

        private static String power(double value) {
            return value == 0 ? "0" : String.format(Locale.ROOT, "2^%.1f", Math.log(value) / Math.log(2));
        }

        void assertWithinBound() {
            assertThat(worst).as(worstPlace).isLessThanOrEqualTo(1);
        }

        void assertRoundedOnce() {
            assertThat(worstRounding).as(worstRoundingPlace).isLessThanOrEqualTo(ROUNDING);
        }
    }

    private static Map<Output, Errors> newErrors() {
        Map<Output, Errors> errors = new EnumMap<>(Output.class);
        for (Output output : Output.values()) {
            errors.put(output, new Errors());
        }
        return errors;
    }

    /** The errors of the library and, in y and dh, of the textbook. */
    private record Measured(Map<Output, Errors> library, Map<Output, Errors> textbook) {}

    private static Measured measured(HardColumns group) {
        return MEASURED.computeIfAbsent(group, key -> {
            Measured measured = new Measured(newErrors(), newErrors());
            key.batches().forEach(batch -> measure(batch, measured));
            return measured;
        });
    }

    private static void assertWithinBound(Batch batch) {
        Measured measured = new Measured(newErrors(), newErrors());
        measure(batch, measured);
        measured.library.values().forEach(Errors::assertWithinBound);
    }

    /** Runs the library and the textbook on a batch and compares their outputs with the exact ones. */
    private static void measure(Batch batch, Measured measured) {
        int n = batch.h().rows();
        int columns = batch.h().columns();
        BatchNorm layer = layer(batch, 1);
        Matrix y = layer.forward(batch.h());
        Matrix dh = layer.backward(batch.dy());
        BatchNorm running = layer(batch, MOMENTUM);
        Matrix inferred = running.infer(batch.h());
        running.forward(batch.h());
        Affine affine = new Affine(Matrix.zeros(0, columns), Matrix.zeros(1, columns));
        affine.forward(Matrix.zeros(n, 0));
        affine.backward(batch.dy());
        Matrix sums = batch.h().columnSums();
        Matrix means = batch.h().columnMeans();
        for (int j = 0; j < columns; j++) {
            double[] h = Matrices.column(batch.h(), j);
            double[] dy = Matrices.column(batch.dy(), j);
            double epsilon = batch.epsilon();
            double gamma = batch.gamma().get(0, j);
            double beta = batch.beta().get(0, j);
            double oldMean = batch.runningMean().get(0, j);
            double oldVariance = batch.runningVariance().get(0, j);
            ExactBatchNorm exact = new ExactBatchNorm(h, epsilon);
            Value[] exactY = exact.y(gamma, beta);
            Gradients gradients = exact.gradients(gamma, dy);
            Comparison library = new Comparison(batch, j, measured.library);
            library.entries(Output.Y, n, y, exactY);
            library.entries(Output.DH, n, dh, gradients.dh());
            library.row(Output.DGAMMA, layer.gamma().gradient(), gradients.dgamma());
            library.row(Output.DBETA, layer.beta().gradient(), gradients.dbeta());
            library.row(Output.MEAN, layer.runningMean(), exact.mean());
            library.row(Output.VARIANCE, layer.runningVariance(), exact.unbiasedVariance());
            library.row(Output.RUNNING_MEAN, running.runningMean(), exact.runningMean(oldMean, MOMENTUM));
            library.row(
                    Output.RUNNING_VARIANCE, running.runningVariance(), exact.runningVariance(oldVariance, MOMENTUM));
            Value[] exactInferred = ExactBatchNorm.inferred(h, oldMean, oldVariance, epsilon, gamma, beta);
            library.entries(Output.INFERRED_Y, 1, inferred, exactInferred); // nothing is summed over the rows
            library.row(Output.COLUMN_SUM, sums, ExactBatchNorm.sum(h));
            library.row(Output.COLUMN_MEAN, means, exact.mean());
            library.row(Output.BIAS_GRADIENT, affine.bias().gradient(), gradients.dbeta());
            Textbook plain = Textbook.of(h, dy, epsilon, gamma, beta);
            for (int k = 0; k < n; k++) {
                measured.textbook.get(Output.Y).add("textbook", n, plain.y[k], exactY[k]);
                measured.textbook
                        .get(Output.DH)
                        .add("textbook", n, plain.dh[k], gradients.dh()[k]);
            }
        }
    }

    /** One column of the outputs against the exact one. */
    private record Comparison(Batch batch, int column, Map<Output, Errors> errors) {
        void entries(Output output, int n, Matrix computed, Value[] exact) {
            for (int k = 0; k < exact.length; k++) {
                String place = batch + ": " + output + "[" + k + "," + column + "]";
                errors.get(output).add(place, n, computed.get(k, column), exact[k]);
            }
        }

        void row(Output output, Matrix computed, Value exact) {
            String place = batch + ": " + output + "[" + column + "]";
            errors.get(output).add(place, batch.h().rows(), computed.get(0, column), exact);
        }
    }

    /** The textbook's two passes over one column, in plain doubles. */
    @SuppressWarnings("ArrayRecordComponent") // nobody compares two of them
    private record Textbook(double[] y, double[] dh, double dgamma, double dbeta) {
        static Textbook of(double[] h, double[] dy, double epsilon, double gamma, double beta) {
            int n = h.length;
            double mean = 0;
            for (double entry : h) {
                mean += entry;
            }
            mean /= n; // (2)
            double variance = 0;
            for (double entry : h) {
                variance += (entry - mean) * (entry - mean);
            }
            variance /= n; // (3)
            double v = 1 / Math.sqrt(variance + epsilon);
            double[] xHat = new double[n];
            double[] y = new double[n];
            double[] dh = new double[n];
            double dgamma = 0;
            double dbeta = 0;
            for (int k = 0; k < n; k++) {
                xHat[k] = (h[k] - mean) * v; // (4)
                y[k] = gamma * xHat[k] + beta; // (5)
                dgamma += dy[k] * xHat[k]; // (16)
                dbeta += dy[k]; // (17)
            }
            for (int k = 0; k < n; k++) {
                dh[k] = gamma * v * (dy[k] - dbeta / n - xHat[k] * dgamma / n); // (18)
            }
            return new Textbook(y, dh, dgamma, dbeta);
        }
    }

    /** What one training pass without ε gives. */
    private record Pass(Matrix y, Matrix dh, Matrix dgamma, Matrix dbeta, Matrix mean, Matrix variance) {
        static Pass of(Matrix h, Matrix dy, Matrix gamma, Matrix beta) {
            BatchNorm layer = new BatchNorm(h.columns(), 0, 1);
            layer.gamma().setValue(gamma);
            layer.beta().setValue(beta);
            Matrix y = layer.forward(h);
            Matrix dh = layer.backward(dy);
            return new Pass(
                    y,
                    dh,
                    layer.gamma().gradient(),
                    layer.beta().gradient(),
                    layer.runningMean(),
                    layer.runningVariance());
        }
    }

    private static BatchNorm layer(Batch batch, double momentum) {
        BatchNorm layer = new BatchNorm(batch.h().columns(), batch.epsilon(), momentum);
        layer.gamma().setValue(batch.gamma());
        layer.beta().setValue(batch.beta());
        layer.setRunningStatistics(batch.runningMean(), batch.runningVariance());
        return layer;
    }

    /** A batch of one column; the running statistics are those of a new layer. */
    private static Batch batch(String name, double epsilon, double[] h, double[] dy, double gamma, double beta) {
        return new Batch(
                name + ", ε = " + epsilon,
                epsilon,
                Matrix.of(h.length, 1, h),
                Matrix.of(dy.length, 1, dy),
                Matrix.ofRow(gamma),
                Matrix.ofRow(beta),
                Matrix.ofRow(0),
                Matrix.ofRow(1));
    }

    private static double[] row(double... values) {
        return values;
    }

    private static Matrix single(Matrix matrix, int j) {
        return Matrix.of(matrix.rows(), 1, Matrices.column(matrix, j));
    }

    private static Matrix scaled(Matrix matrix, int exponent) {
        return matrix.map(entry -> Math.scalb(entry, exponent));
    }
}
