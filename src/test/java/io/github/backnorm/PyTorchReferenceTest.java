package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Scanner;
import java.util.function.IntFunction;
import java.util.stream.IntStream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Layers, losses and optimizers against PyTorch in float64; {@code generate.py} beside the data made it.
 *
 * <p>The tolerance for layers is PyTorch's own rounding error, entry by entry. PyTorch's formulas are evaluated here
 * once more, on numbers that carry a bound on their distance from the exact result ({@link Rounded}). PyTorch's value
 * lies within that bound of the exact one. The library's is granted the same, so the two differ by at most {@value
 * #BOTH} bounds.
 */
final class PyTorchReferenceTest {
    private static final double U = 0x1p-53; // half the distance from 1 to the next double
    private static final int BOTH = 2; // PyTorch's error and the library's

    static List<Case> batchNormCases() {
        return read("batch-norm.txt");
    }

    @ParameterizedTest
    @MethodSource("batchNormCases")
    void batchNorm_stepsThenInference_withinRoundingErrorOfPyTorch(Case pytorch) {
        Matrix gamma = pytorch.get("gamma");
        Matrix beta = pytorch.get("beta");
        Matrix scale = pytorch.get("scale");
        Matrix offset = pytorch.get("offset");
        double epsilon = pytorch.number("epsilon");
        double momentum = pytorch.number("momentum");
        int features = gamma.columns();
        Draws draws = pytorch.draws();
        BatchNorm layer = new BatchNorm(features, epsilon, momentum);
        layer.gamma().setValue(gamma);
        layer.beta().setValue(beta);
        ModelBatchNorm model =
                new ModelBatchNorm(exact(pytorch.stored(gamma)), exact(pytorch.stored(beta)), epsilon, momentum);

        int steps = 0;
        for (; pytorch.has("y." + steps); steps++) {
            int batch = pytorch.get("y." + steps).rows();
            Matrix x = draws.matrix(batch, features, scale, offset);
            Matrix dy = draws.matrix(batch, features);
            String step = "." + steps;
            pytorch.check("y" + step, layer.forward(x), model.forward(exact(pytorch.stored(x))));
            pytorch.check("dx" + step, layer.backward(dy), model.backward(exact(pytorch.stored(dy))));
            pytorch.check("dgamma" + step, layer.gamma().gradient(), model.dgamma);
            pytorch.check("dbeta" + step, layer.beta().gradient(), model.dbeta);
            pytorch.check("runningMean" + step, layer.runningMean(), model.runningMean);
            pytorch.check("runningVariance" + step, layer.runningVariance(), model.runningVariance);
        }
        assertThat(steps).isGreaterThan(1);

        Matrix x = draws.matrix(pytorch.get("infer").rows(), features, scale, offset);
        pytorch.check("infer", layer.infer(x), model.infer(exact(pytorch.stored(x))));
        pytorch.check("inferRow", layer.infer(x.row(0)), model.infer(exact(pytorch.stored(x.row(0)))));
    }

    static List<Case> linearCases() {
        return read("linear.txt");
    }

    @ParameterizedTest
    @MethodSource("linearCases")
    void affine_forwardBackward_withinRoundingErrorOfPyTorch(Case pytorch) {
        int batch = pytorch.integer("shape", 0);
        int inputs = pytorch.integer("shape", 1);
        int outputs = pytorch.integer("shape", 2);
        Draws draws = pytorch.draws();
        Matrix weight = draws.matrix(inputs, outputs);
        Matrix bias = draws.matrix(1, outputs);
        Matrix x = draws.matrix(batch, inputs);
        Matrix dy = draws.matrix(batch, outputs);
        Affine layer = new Affine(weight, bias);
        ModelAffine model = new ModelAffine(exact(weight), exact(bias));

        pytorch.check("y", layer.forward(x), model.forward(exact(x)));
        pytorch.check("dx", layer.backward(dy), model.backward(exact(dy)));
        pytorch.check("dweight", layer.weight().gradient(), model.dweight);
        pytorch.check("dbias", layer.bias().gradient(), model.dbias);
    }

    static List<Case> networkCases() {
        return read("network.txt");
    }

    @ParameterizedTest
    @MethodSource("networkCases")
    void network_gradientDescentThenInference_withinRoundingErrorOfPyTorch(Case pytorch) {
        int batch = pytorch.integer("shape", 0);
        int inputs = pytorch.integer("shape", 1);
        int hidden = pytorch.integer("shape", 2);
        int outputs = pytorch.integer("shape", 3);
        double epsilon = pytorch.number("epsilon");
        double momentum = pytorch.number("momentum");
        double rate = pytorch.number("rate");
        Draws draws = pytorch.draws();
        Affine first = new Affine(draws.matrix(inputs, hidden), draws.matrix(1, hidden));
        Affine last = new Affine(draws.matrix(hidden, outputs), draws.matrix(1, outputs));
        BatchNorm batchNorm = new BatchNorm(hidden, epsilon, momentum);
        batchNorm.gamma().setValue(pytorch.get("gamma"));
        batchNorm.beta().setValue(pytorch.get("beta"));
        Network network = new Network(first, batchNorm, new ReLU(), last);
        ModelNetwork model = new ModelNetwork(
                new ModelAffine(
                        exact(first.weight().value()), exact(first.bias().value())),
                new ModelBatchNorm(exact(pytorch.get("gamma")), exact(pytorch.get("beta")), epsilon, momentum),
                new ModelAffine(exact(last.weight().value()), exact(last.bias().value())));

        int steps = 0;
        for (; pytorch.has("y." + steps); steps++) {
            Matrix x = draws.matrix(batch, inputs);
            Matrix dy = draws.matrix(batch, outputs);
            String step = "." + steps;
            pytorch.check("y" + step, network.forward(x), model.forward(exact(x)));
            pytorch.check("dx" + step, network.backward(dy), model.backward(exact(dy)));
            List<Parameter> parameters = network.parameters();
            List<Rounded[][]> gradients = model.gradients();
            assertThat(parameters).hasSameSizeAs(gradients);
            for (int i = 0; i < parameters.size(); i++) {
                Parameter parameter = parameters.get(i);
                pytorch.check("gradient" + i + step, parameter.gradient(), gradients.get(i));
                parameter.setValue(parameter.value().plusScaled(-rate, parameter.gradient()));
            }
            model.descend(rate);
        }
        assertThat(steps).isGreaterThan(1);

        Matrix x = draws.matrix(batch, inputs);
        pytorch.check("infer", network.infer(x), model.infer(exact(x)));
    }

    static List<Case> lossCases() {
        return read("loss.txt");
    }

    /**
     * For scores up to 8 in magnitude and 10 classes, PyTorch's M − s is off by at most 16u, its log Σ exp by
     * (2·16 + 10 + 2)u, and −log p ≤ 19, with two more roundings, by less than 128u; so is p, relatively. With the few
     * roundings after that, its share of each number is within 160u of the magnitudes that form it; the library's own
     * is a tenth of that.
     */
    @ParameterizedTest
    @MethodSource("lossCases")
    void loss_valueAndGradient_withinRoundingErrorOfPyTorch(Case pytorch) {
        double tolerance = 200 * U;
        int batch = pytorch.integer("shape", 0);
        int classes = pytorch.integer("shape", 1);
        Draws draws = pytorch.draws();
        Matrix scores = draws.matrix(batch, classes).times(pytorch.number("scale"));
        Matrix targets = draws.matrix(batch, classes).map(Math::abs);
        int[] labels =
                IntStream.range(0, batch).map(i -> pytorch.integer("labels", i)).toArray();
        Matrix oneHot = Matrix.generate(batch, classes, (i, j) -> labels[i] == j ? 1 : 0);
        Matrix atMostOne = Matrix.filled(batch, classes, 1); // p, which one entry may have
        // Σₖ tₖ·p + t, divided by N
        Matrix size = targets.plus(atMostOne.hadamard(targets.times(Matrix.filled(classes, classes, 1))));

        if (classes > 1) { // one class is refused here
            pytorch.check(
                    "labels", Loss.softmaxCrossEntropy(scores, labels), oneHot.plus(atMostOne), tolerance / batch);
            pytorch.check("targets", Loss.softmaxCrossEntropy(scores, targets), size, tolerance / batch);
        }
        pytorch.check(
                "squares",
                Loss.meanSquaredError(scores, targets),
                scores.minus(targets).map(Math::abs),
                tolerance / (batch * classes));
    }

    static List<Case> optimizerCases() {
        return read("optimizer.txt");
    }

    /**
     * A step makes a dozen roundings of numbers of the size of its change to a value, at most about rate·10 = 1, and of
     * the value, at most 2, and takes over what earlier ones have left in the value and the moments, which its pull
     * toward 0 does not enlarge: 100 steps are off by less than 100·12·3u = 4e-13 on each side.
     */
    @ParameterizedTest
    @MethodSource("optimizerCases")
    void optimizer_hundredSteps_within1e12OfPyTorch(Case pytorch) {
        Draws draws = pytorch.draws();
        Parameter parameter = new Parameter("w", draws.matrix(1, 3));
        Optimizer optimizer = optimizer(pytorch);
        Matrix values = pytorch.get("values");
        assertThat(values.rows()).isEqualTo(100);
        for (int step = 0; step < 100; step++) {
            if (pytorch.has("rates")) {
                optimizer.setRate(pytorch.get("rates").get(0, step));
            }
            parameter.setGradient(parameter.value().plus(draws.matrix(1, 3)).hadamard(pytorch.get("slope")));
            optimizer.step(List.of(parameter));
            for (int j = 0; j < 3; j++) {
                assertThat(parameter.value().get(0, j))
                        .as("entry %d after step %d", j, step)
                        .isCloseTo(values.get(step, j), within(1e-12));
            }
        }
    }

    private static Optimizer optimizer(Case pytorch) {
        double rate = pytorch.number("rate");
        Optimizer optimizer;
        if (pytorch.has("constants")) {
            Matrix constants = pytorch.get("constants");
            boolean usual = constants.equals(Matrix.ofRow(0.9, 0.999, 1e-8));
            optimizer = usual
                    ? Optimizer.adam(rate)
                    : Optimizer.adam(rate, constants.get(0, 0), constants.get(0, 1), constants.get(0, 2));
        } else {
            double momentum = pytorch.number("momentum");
            optimizer = momentum == 0 ? Optimizer.sgd(rate) : Optimizer.sgd(rate, momentum);
        }
        double weightDecay = pytorch.number("weightDecay");
        return weightDecay == 0 ? optimizer : optimizer.withWeightDecay(weightDecay);
    }

    /**
     * A computed number and a bound on its distance from the exact one: running error analysis (N. J. Higham, 2002,
     * Accuracy and Stability of Numerical Algorithms, §3.3), to first order in u. An operation passes its operands'
     * bounds on and adds its own rounding, at most u·|result|.
     */
    private record Rounded(double value, double bound) {
        static Rounded exact(double value) {
            return new Rounded(value, 0);
        }

        private static Rounded round(double value, double inherited) {
            return new Rounded(value, inherited + U * Math.abs(value));
        }

        Rounded plus(Rounded other) {
            return round(value + other.value, bound + other.bound);
        }

        Rounded minus(Rounded other) {
            return round(value - other.value, bound + other.bound);
        }

        Rounded times(Rounded other) {
            return round(value * other.value, Math.abs(value) * other.bound + Math.abs(other.value) * bound);
        }

        Rounded over(Rounded other) {
            double quotient = value / other.value;
            return round(quotient, (bound + Math.abs(quotient) * other.bound) / Math.abs(other.value));
        }

        /** For values above 0: {@code √a − √b = (a − b)/(√a + √b)}. */
        Rounded sqrt() {
            double root = Math.sqrt(value);
            return round(root, bound / (2 * root));
        }

        /**
         * Adds n numbers in no particular order, for PyTorch's depends on vector lanes and blocks: n−1 additions cost
         * at most {@code (n−1)·u·Σ|aᵢ|} in any order (Higham 2002, §4.2). With the products' own roundings, an inner
         * product of length k gets the usual {@code k·u·Σ|aᵢ|·|bᵢ|} (§3.1).
         */
        static Rounded sum(int n, IntFunction<Rounded> terms) {
            double sum = 0;
            double magnitude = 0;
            double inherited = 0;
            for (int i = 0; i < n; i++) {
                Rounded term = terms.apply(i);
                sum += term.value;
                magnitude += Math.abs(term.value);
                inherited += term.bound;
            }
            return new Rounded(sum, inherited + (n - 1) * U * magnitude);
        }
    }

    private interface Entries {
        Rounded at(int row, int column);
    }

    private static Rounded[][] rounded(int rows, int columns, Entries entries) {
        Rounded[][] matrix = new Rounded[rows][columns];
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++) {
                matrix[i][j] = entries.at(i, j);
            }
        }
        return matrix;
    }

    private static Rounded[][] exact(Matrix matrix) {
        return rounded(matrix.rows(), matrix.columns(), (i, j) -> Rounded.exact(matrix.get(i, j)));
    }

    private static Rounded[][] columnSums(int rows, int columns, Entries entries) {
        return rounded(1, columns, (i, j) -> Rounded.sum(rows, k -> entries.at(k, j)));
    }

    /** {@code value − rate·gradient}. */
    private static Rounded[][] moved(Rounded[][] value, double rate, Rounded[][] gradient) {
        Rounded factor = Rounded.exact(rate);
        return rounded(value.length, value[0].length, (i, j) -> value[i][j].minus(factor.times(gradient[i][j])));
    }

    /** nn.Linear, with the weight inputs×outputs. */
    private static final class ModelAffine {
        private Rounded[][] weight;
        private Rounded[][] bias;
        Rounded[][] dweight;
        Rounded[][] dbias;
        private Rounded[][] x;

        ModelAffine(Rounded[][] weight, Rounded[][] bias) {
            this.weight = weight;
            this.bias = bias;
        }

        Rounded[][] forward(Rounded[][] x) {
            this.x = x;
            int inputs = weight.length;
            return rounded(
                    x.length,
                    bias[0].length,
                    (i, j) -> Rounded.sum(inputs + 1, p -> p < inputs ? x[i][p].times(weight[p][j]) : bias[0][j]));
        }

        Rounded[][] backward(Rounded[][] dy) {
            int batch = dy.length;
            int inputs = weight.length;
            int outputs = bias[0].length;
            dweight = rounded(inputs, outputs, (i, j) -> Rounded.sum(batch, p -> x[p][i].times(dy[p][j])));
            dbias = columnSums(batch, outputs, (i, j) -> dy[i][j]);
            return rounded(batch, inputs, (i, j) -> Rounded.sum(outputs, p -> dy[i][p].times(weight[j][p])));
        }

        void descend(double rate) {
            weight = moved(weight, rate, dweight);
            bias = moved(bias, rate, dbias);
        }
    }

    /** nn.BatchNorm1d as PyTorch computes it on a CPU: aten/src/ATen/native/cpu/batch_norm_kernel.cpp. */
    private static final class ModelBatchNorm {
        private Rounded[][] gamma;
        private Rounded[][] beta;
        Rounded[][] dgamma;
        Rounded[][] dbeta;
        Rounded[][] runningMean;
        Rounded[][] runningVariance;
        private final int features;
        private final Rounded epsilon;
        private final Rounded momentum;
        private Rounded[][] x;
        private Rounded[][] mean;
        private Rounded[][] inverseStd;

        ModelBatchNorm(Rounded[][] gamma, Rounded[][] beta, double epsilon, double momentum) {
            this.gamma = gamma;
            this.beta = beta;
            this.features = gamma[0].length;
            this.epsilon = Rounded.exact(epsilon);
            this.momentum = Rounded.exact(momentum);
            this.runningMean = exact(Matrix.zeros(1, features));
            this.runningVariance = exact(Matrix.filled(1, features, 1));
        }

        Rounded[][] forward(Rounded[][] x) {
            int batch = x.length;
            this.x = x;
            Rounded[][] sums = columnSums(batch, features, (i, j) -> x[i][j]);
            mean = row(j -> sums[0][j].over(Rounded.exact(batch)));
            Rounded[][] squares = columnSums(batch, features, (i, j) -> squaredDeviation(i, j));
            inverseStd = inverseStd(row(j -> squares[0][j].over(Rounded.exact(batch))));
            runningMean = running(runningMean, mean);
            runningVariance = running(runningVariance, row(j -> squares[0][j].over(Rounded.exact(batch - 1))));
            return scaleAndShift(x, mean, inverseStd);
        }

        Rounded[][] backward(Rounded[][] dy) {
            Rounded batch = Rounded.exact(dy.length);
            dbeta = columnSums(dy.length, features, (i, j) -> dy[i][j]);
            Rounded[][] products =
                    columnSums(dy.length, features, (i, j) -> centered(i, j).times(dy[i][j]));
            dgamma = row(j -> products[0][j].times(inverseStd[0][j]));
            Rounded[][] factor = row(j -> dgamma[0][j].times(inverseStd[0][j]).over(batch));
            return rounded(
                    dy.length,
                    features,
                    (i, j) -> dy[i][j].minus(dbeta[0][j].over(batch))
                            .minus(centered(i, j).times(factor[0][j]))
                            .times(inverseStd[0][j])
                            .times(gamma[0][j]));
        }

        Rounded[][] infer(Rounded[][] x) {
            return scaleAndShift(x, runningMean, inverseStd(runningVariance));
        }

        void descend(double rate) {
            gamma = moved(gamma, rate, dgamma);
            beta = moved(beta, rate, dbeta);
        }

        private Rounded centered(int i, int j) {
            return x[i][j].minus(mean[0][j]);
        }

        /**
         * The mean counts as exact here: to first order its error does not move the sum, for {@code Σ(x − mean) = 0}.
         */
        private Rounded squaredDeviation(int i, int j) {
            Rounded deviation = x[i][j].minus(Rounded.exact(mean[0][j].value));
            return deviation.times(deviation);
        }

        private Rounded[][] inverseStd(Rounded[][] variance) {
            return row(j -> Rounded.exact(1).over(variance[0][j].plus(epsilon).sqrt()));
        }

        private Rounded[][] running(Rounded[][] running, Rounded[][] batch) {
            Rounded rest = Rounded.exact(1).minus(momentum);
            return row(j -> momentum.times(batch[0][j]).plus(rest.times(running[0][j])));
        }

        private Rounded[][] scaleAndShift(Rounded[][] x, Rounded[][] mean, Rounded[][] inverseStd) {
            Rounded[][] alpha = row(j -> inverseStd[0][j].times(gamma[0][j]));
            Rounded[][] shift = row(j -> beta[0][j].minus(mean[0][j].times(alpha[0][j])));
            return rounded(
                    x.length, features, (i, j) -> x[i][j].times(alpha[0][j]).plus(shift[0][j]));
        }

        private Rounded[][] row(IntFunction<Rounded> entries) {
            return rounded(1, features, (i, j) -> entries.apply(j));
        }
    }

    /** Linear, BatchNorm1d, ReLU, Linear; generate.py keeps what enters the ReLU away from the kink. */
    private static final class ModelNetwork {
        private final ModelAffine first;
        private final ModelBatchNorm batchNorm;
        private final ModelAffine last;
        private Rounded[][] normalized;

        ModelNetwork(ModelAffine first, ModelBatchNorm batchNorm, ModelAffine last) {
            this.first = first;
            this.batchNorm = batchNorm;
            this.last = last;
        }

        Rounded[][] forward(Rounded[][] x) {
            normalized = batchNorm.forward(first.forward(x));
            return last.forward(whereActive(normalized, normalized));
        }

        Rounded[][] backward(Rounded[][] dy) {
            return first.backward(batchNorm.backward(whereActive(normalized, last.backward(dy))));
        }

        Rounded[][] infer(Rounded[][] x) {
            Rounded[][] y = batchNorm.infer(first.forward(x));
            return last.forward(whereActive(y, y));
        }

        List<Rounded[][]> gradients() {
            return List.of(first.dweight, first.dbias, batchNorm.dgamma, batchNorm.dbeta, last.dweight, last.dbias);
        }

        void descend(double rate) {
            first.descend(rate);
            batchNorm.descend(rate);
            last.descend(rate);
        }

        private static Rounded[][] whereActive(Rounded[][] y, Rounded[][] values) {
            return rounded(y.length, y[0].length, (i, j) -> y[i][j].value > 0 ? values[i][j] : Rounded.exact(0));
        }
    }

    /** One case of a reference file: its records by name. */
    private record Case(String name, Map<String, Matrix> records) {
        boolean has(String record) {
            return records.containsKey(record);
        }

        Matrix get(String record) {
            return records.get(record);
        }

        double number(String record) {
            return get(record).get(0, 0);
        }

        int integer(String record, int column) {
            return (int) get(record).get(0, column);
        }

        Draws draws() {
            return new Draws((long) number("seed"));
        }

        /** The columns of a matrix whose results are stored. */
        Matrix stored(Matrix matrix) {
            if (!has("columns")) {
                return matrix;
            }
            return Matrix.generate(
                    matrix.rows(), get("columns").columns(), (i, j) -> matrix.get(i, integer("columns", j)));
        }

        void check(String record, Matrix actual, Rounded[][] model) {
            Matrix expected = get(record);
            Matrix stored = stored(actual);
            assertThat(stored.rows()).as("rows of %s", record).isEqualTo(expected.rows());
            assertThat(stored.columns()).as("columns of %s", record).isEqualTo(expected.columns());
            for (int i = 0; i < expected.rows(); i++) {
                for (int j = 0; j < expected.columns(); j++) {
                    assertThat(stored.get(i, j))
                            .as("%s at row %d, column %d", record, i, j)
                            .isCloseTo(expected.get(i, j), within(BOTH * model[i][j].bound));
                }
            }
        }

        /**
         * The gradient's entries are granted the tolerance times the entry of size; the value, a sum of terms each of
         * which is of at most 19 (−log p, or a difference) times such a size, that of all of them.
         */
        void check(String name, Loss actual, Matrix size, double tolerance) {
            assertThat(actual.value())
                    .as("%s.value", name)
                    .isCloseTo(number(name + ".value"), within(19 * tolerance * size.sum()));
            Matrix expected = get(name + ".gradient");
            for (int i = 0; i < expected.rows(); i++) {
                for (int j = 0; j < expected.columns(); j++) {
                    assertThat(actual.gradient().get(i, j))
                            .as("%s.gradient at row %d, column %d", name, i, j)
                            .isCloseTo(expected.get(i, j), within(tolerance * size.get(i, j)));
                }
            }
        }

        @Override
        public String toString() {
            return name;
        }
    }

    private static List<Case> read(String file) {
        List<Case> cases = new ArrayList<>();
        try (Scanner in = new Scanner(
                PyTorchReferenceTest.class.getResourceAsStream("pytorch/" + file), StandardCharsets.UTF_8)) {
            while (in.hasNext()) {
                String word = in.next();
                if (word.startsWith("#")) {
                    in.nextLine();
                } else if (word.equals("case")) {
                    cases.add(new Case(in.next(), new HashMap<>()));
                } else {
                    int rows = Integer.parseInt(in.next());
                    int columns = Integer.parseInt(in.next());
                    Matrix values = Matrix.generate(rows, columns, (i, j) -> Double.parseDouble(in.next()));
                    cases.get(cases.size() - 1).records.put(word, values);
                }
            }
        }
        return cases;
    }

    /** Uniform of generate.py: multiples of 2⁻⁵² in [−1, 1), the same doubles as there. */
    private static final class Draws {
        private long state;

        Draws(long seed) {
            state = seed;
        }

        private double draw() {
            state = state * 6364136223846793005L + 1442695040888963407L;
            return (state >> 11) * 0x1p-52;
        }

        Matrix matrix(int rows, int columns) {
            return Matrix.generate(rows, columns, (i, j) -> draw());
        }

        Matrix matrix(int rows, int columns, Matrix scale, Matrix offset) {
            return Matrix.generate(rows, columns, (i, j) -> offset.get(0, j) + scale.get(0, j) * draw());
        }
    }
}
