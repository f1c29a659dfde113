package io.github.backnorm;

import io.github.backnorm.internal.BlockSums;
import io.github.backnorm.internal.GivenNormalization;
import io.github.backnorm.internal.Normalization;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntFunction;

/**
 * Batch normalization, column by column: {@code y = γ·(h − μ)/√(σ² + ε) + β}.
 *
 * <p>Shapes for a batch of N rows and L features: h and y are N×L; γ, β, μ, σ² are 1×L. What {@link Layer} calls x is h
 * here and in the derivation, which writes δ for ε.
 *
 * <p>{@link #forward} takes mean and biased variance from the batch,
 * <pre>{@code
 * μ  = (1/N)·Σₖ hₖ            (2)
 * σ² = (1/N)·Σₖ (hₖ − μ)²     (3)
 * v  = (σ² + ε)^(−1/2)
 * ĥ  = (h − μ)·v              (4)
 * y  = γ·ĥ + β                (5)
 * }</pre>
 * and moves the running statistics, with which {@link #infer} normalizes. They start at mean 0 and variance 1:
 * <pre>{@code
 * running = (1 − momentum)·running + momentum·batch, the batch's variance unbiased: σ²·N/(N − 1)
 * }</pre>
 *
 * <p>Given {@code dy = ∂L/∂y}, {@link #backward} computes
 * <pre>{@code
 * dγ = Σₖ dyₖ·ĥₖ                                 (16)
 * dβ = Σₖ dyₖ                                    (17)
 * dh = γ·v·(dy − dβ/N − ĥ·dγ/N)                  (18)
 * }</pre>
 * The numbers are those of <a href="https://github.com/backnorm/backnorm/blob/main/docs/derivation.md">the
 * derivation</a>, which proves the equations. The conventions are those of PyTorch's {@code BatchNorm1d}.
 *
 * <p>Numerical behavior: every result is as if computed from the given doubles in twice the working precision and
 * rounded once, whatever the mean, the variance and ε. Its error is at most 1 ulp + {@code N²·2⁻⁹⁶·S}, where S is the
 * magnitude of the terms that the result is the sum of. <a
 * href="https://github.com/backnorm/backnorm/blob/main/docs/numerics.md">Numerical behavior</a> defines S for each
 * result, states the conditions and proves the bound. Where {@code σ² + ε} is 0, v is taken as 0: ĥ = 0, y = β, dh = 0,
 * dγ = 0. {@code forward} refuses NaN and ±Infinity. {@code infer} and {@code backward} pass them through IEEE 754
 * arithmetic; in {@code infer} they stay in their row.
 *
 * <p>Threads: as {@link Layer} says; γ, β and the pair of running statistics are each read once, as complete values.
 *
 * @see <a href="https://arxiv.org/abs/1502.03167">S. Ioffe, C. Szegedy, 2015, Batch Normalization: Accelerating Deep
 *     Network Training by Reducing Internal Covariate Shift</a>
 */
public final class BatchNorm extends ArrayLayer<BatchNorm.Pass> implements Layer {
    private static final String RUNNING_MEAN = "runningMean";
    private static final String RUNNING_VARIANCE = "runningVariance";

    private final int features;
    private final double epsilon;
    private final double momentum;
    private final Parameter gamma;
    private final Parameter beta;
    private final List<Parameter> parameters;
    private final Normalization normalization;
    private volatile Statistics running;
    private volatile Serving serving;

    private record Statistics(Matrix mean, Matrix variance) {}

    /** What infer computes from γ, β and the running statistics; kept while they are the same objects. */
    private record Serving(Matrix gamma, Matrix beta, Statistics running, GivenNormalization normalization) {
        @SuppressWarnings("ReferenceEquality") // equal but distinct ones only cost a recomputation
        boolean isOf(Matrix gamma, Matrix beta, Statistics running) {
            return this.gamma == gamma && this.beta == beta && this.running == running;
        }
    }

    /** What backward needs: the input, the γ that was used, and the statistics of the batch. */
    record Pass(Matrix x, Matrix gamma, Normalization normalization) {}

    /**
     * Makes a layer with ε = 1e-5 and momentum 0.1; γ is 1, β is 0.
     *
     * @param features L, the number of columns, at least 0
     * @throws IllegalArgumentException if features is negative
     */
    public BatchNorm(int features) {
        this(features, 1e-5, 0.1);
    }

    /**
     * Makes a layer; γ is 1, β is 0.
     *
     * @param features L, the number of columns, at least 0
     * @param epsilon ε, added to the variance under the root; at least 0 and finite
     * @param momentum the weight of the batch in the running statistics, 0 to 1
     * @throws IllegalArgumentException if an argument is out of its range
     */
    public BatchNorm(int features, double epsilon, double momentum) {
        this.features = Checks.requireNotNegative(features, "BatchNorm.new", "features");
        this.epsilon = Checks.requireFiniteNotNegative(epsilon, "BatchNorm.new", "epsilon");
        if (!(momentum >= 0 && momentum <= 1)) {
            throw Checks.refusal("BatchNorm.new", "momentum", momentum, "0 to 1");
        }
        this.momentum = momentum;
        this.gamma = new Parameter("gamma", Matrix.filled(1, features, 1));
        this.beta = new Parameter("beta", Matrix.zeros(1, features));
        this.parameters = List.of(gamma, beta);
        this.normalization = new Normalization(features, epsilon);
        this.running = new Statistics(Matrix.zeros(1, features), Matrix.filled(1, features, 1));
    }

    /** {@return γ, 1×L} */
    public Parameter gamma() {
        return gamma;
    }

    /** {@return β, 1×L} */
    public Parameter beta() {
        return beta;
    }

    /** {@return L, the number of columns} */
    public int features() {
        return features;
    }

    /** {@return ε, which is added to the variance under the root} */
    public double epsilon() {
        return epsilon;
    }

    /** {@return the weight of the batch in the running statistics} */
    public double momentum() {
        return momentum;
    }

    /** {@return the running mean, 1×L} */
    public Matrix runningMean() {
        return running.mean;
    }

    /** {@return the running variance, unbiased, 1×L} */
    public Matrix runningVariance() {
        return running.variance;
    }

    /**
     * Replaces both running statistics, atomically.
     *
     * @param mean finite, 1×L
     * @param variance finite and at least 0, 1×L
     * @throws IllegalArgumentException if a shape differs or a value is out of range
     */
    public void setRunningStatistics(Matrix mean, Matrix variance) {
        running = requireStatistics(mean, variance, "BatchNorm.setRunningStatistics", "mean", "variance");
    }

    private Statistics requireStatistics(
            Matrix mean, Matrix variance, String where, String meanName, String varianceName) {
        Checks.requireShape(mean, 1, features, where, meanName);
        Checks.requireShape(variance, 1, features, where, varianceName);
        Checks.requireFinite(mean, where, meanName);
        Checks.requireFinite(variance, where, varianceName);
        Checks.requireNotNegative(variance, where, varianceName);
        return new Statistics(mean, variance);
    }

    /** {@return γ and β} */
    @Override
    public List<Parameter> parameters() {
        return parameters;
    }

    /** {@return gamma, beta, runningMean and runningVariance} */
    @Override
    public Map<String, Matrix> state() {
        Statistics running = this.running;
        Map<String, Matrix> state = new LinkedHashMap<>(super.state());
        state.put(RUNNING_MEAN, running.mean);
        state.put(RUNNING_VARIANCE, running.variance);
        return Collections.unmodifiableMap(state);
    }

    /**
     * {@inheritDoc}
     *
     * @throws IllegalArgumentException also if a running statistic is not finite or a variance is negative
     */
    @Override
    public void restore(Map<String, Matrix> state) {
        String where = "BatchNorm.restore";
        Map<String, Matrix> copy = Checks.requireState(state, state(), where);
        Statistics restored = requireStatistics(
                copy.get(RUNNING_MEAN), copy.get(RUNNING_VARIANCE), where, RUNNING_MEAN, RUNNING_VARIANCE);
        for (Parameter parameter : parameters) {
            parameter.setValue(copy.get(parameter.name()));
        }
        running = restored;
    }

    /**
     * {@inheritDoc} Moves the running statistics. Derivation: (2) to (5), (25).
     *
     * @param x h, N×L, N at least 2, all entries finite
     * @return y, N×L
     * @throws IllegalArgumentException if x has another number of columns or fewer than two rows, if an entry is NaN or
     *     infinite, or if a column's unbiased variance is beyond the range of double; the running statistics then stay
     *     as they were
     */
    @Override
    public Matrix forward(Matrix x) {
        return forward(x, double[]::new);
    }

    @Override
    Matrix forward(Matrix x, IntFunction<double[]> arrayFor) {
        return forward(x, Normalization.NO_LEAST, arrayFor);
    }

    /** As {@link #forward(Matrix, IntFunction)}, for this layer and the ReLU after it. */
    Matrix forwardWithRelu(Matrix x, IntFunction<double[]> arrayFor) {
        return forward(x, Normalization.LEAST_OF_RELU, arrayFor);
    }

    private Matrix forward(Matrix x, double least, IntFunction<double[]> arrayFor) {
        forget();
        requireInput(x, normalization.isInBlocks() ? Method.BLOCK : Method.FORWARD);
        Matrix gamma = this.gamma.value();
        Matrix beta = this.beta.value();
        double[] y = arrayFor.apply(x.data().length);
        normalization.forward(x.rows(), x.data(), gamma.data(), beta.data(), least, y); // (2) to (5)
        if (normalization.isInBlocks()) {
            requireModerate(
                    normalization.immoderateColumn(gamma.data(), beta.data()),
                    "forward",
                    "x, γ or β",
                    "√(σ² + ε) from 1e-90 to 1e90, the spread and γ/√(σ² + ε) too unless they are 0, and β up to 1e90;"
                            + " scale x");
        } else {
            requireFiniteVariance(x);
        }
        running = moved(running); // (25)
        remember(new Pass(x, gamma, normalization));
        return Matrix.wrap(x.rows(), features, y);
    }

    private void requireFiniteVariance(Matrix x) {
        int overflowing = normalization.overflowingColumn();
        if (overflowing >= 0) {
            Checks.requireFinite(x, "BatchNorm.forward", "x");
            throw new IllegalArgumentException("BatchNorm.forward: variance of column " + overflowing
                    + " is beyond the range of double, expected a finite number; scale x down");
        }
    }

    private Statistics moved(Statistics old) {
        double[] mean = new double[features];
        double[] variance = new double[features];
        normalization.moveRunning(momentum, old.mean.data(), old.variance.data(), mean, variance);
        return new Statistics(row(mean), row(variance));
    }

    /**
     * {@inheritDoc} Normalizes with the running statistics. Derivation: (26).
     *
     * @param x h, N×L, N at least 0
     * @return y, N×L
     */
    @Override
    public Matrix infer(Matrix x) {
        return infer(x, Normalization.NO_LEAST);
    }

    /** As {@link #infer}, for this layer and the ReLU after it. */
    Matrix inferWithRelu(Matrix x) {
        return infer(x, Normalization.LEAST_OF_RELU);
    }

    private Matrix infer(Matrix x, double least) {
        requireInput(x, Method.INFER);
        return normalized(x, serving(), least);
    }

    private Matrix normalized(Matrix x, GivenNormalization normalization, double least) {
        double[] y = new double[x.data().length];
        normalization.apply(x.rows(), x.data(), least, y);
        return Matrix.wrap(x.rows(), features, y);
    }

    private GivenNormalization serving() {
        Matrix gamma = this.gamma.value();
        Matrix beta = this.beta.value();
        Statistics running = this.running;
        Serving serving = this.serving;
        if (serving == null || !serving.isOf(gamma, beta, running)) {
            serving = new Serving(gamma, beta, running, normalization(running, gamma, beta));
            this.serving = serving;
        }
        return serving.normalization;
    }

    private GivenNormalization normalization(Statistics statistics, Matrix gamma, Matrix beta) {
        return new GivenNormalization(
                statistics.mean.data(), statistics.variance.data(), epsilon, gamma.data(), beta.data());
    }

    /**
     * {@inheritDoc} Derivation: (16), (17), (18).
     *
     * @param dy N×L
     * @return dh, N×L
     */
    @Override
    public Matrix backward(Matrix dy) {
        return backward(dy, double[]::new);
    }

    @Override
    Matrix backward(Matrix dy, IntFunction<double[]> arrayFor) {
        Pass pass = requirePass(dy);
        double[] dgamma = new double[features];
        double[] dbeta = new double[features];
        double[] dx = arrayFor.apply(dy.data().length);
        pass.normalization.backward(pass.x.data(), pass.gamma.data(), dy.data(), dgamma, dbeta, dx); // (16) to (18)
        setGradients(dgamma, dbeta);
        return Matrix.wrap(dy.rows(), features, dx);
    }

    @Override
    public void backwardParameters(Matrix dy) {
        Pass pass = requirePass(dy);
        double[] dgamma = new double[features];
        double[] dbeta = new double[features];
        pass.normalization.backwardParameters(pass.x.data(), pass.gamma.data(), dy.data(), dgamma, dbeta); // (16), (17)
        setGradients(dgamma, dbeta);
    }

    // A batch in blocks: see Shard. A forward and a backward use what was taken from the whole batch before.

    /** The sums that a forward needs, of a block's rows, and their number. */
    BlockSums sumDeviations(Matrix x) {
        requireInput(x, Method.BLOCK);
        return requireFinite(normalization.beginBlock(x.rows(), x.data()), x, "forward", "x");
    }

    /** Takes these sums of the whole batch; returns others that are needed then, or null. */
    BlockSums takeDeviations(BlockSums batch, Matrix x) {
        double n = batch.singles()[0];
        if (n < 2) {
            throw Checks.refusal("BatchNorm.forward", "number of rows in all blocks", (int) n, "at least 2");
        }
        return normalization.takeDeviations(batch, x.rows(), x.data());
    }

    /** The sums that a backward needs. */
    BlockSums sumGradients(Matrix dy) {
        Pass pass = requirePass(dy);
        return requireFinite(normalization.sumGradients(pass.x.data(), dy.data()), dy, "backward", "dy");
    }

    /** Takes these sums of the whole batch. */
    BlockSums takeGradients(BlockSums batch) {
        normalization.takeGradients(batch);
        requireModerate(
                normalization.immoderateGradient(), "backward", "dy", "√Σdy² from 1e-90 to 1e90, or 0; scale the loss");
        return batch;
    }

    private static BlockSums requireFinite(BlockSums sums, Matrix matrix, String method, String what) {
        if (!sums.areFinite()) {
            Checks.requireFinite(matrix, "BatchNorm." + method, what); // the batch's sums show an overflow
        }
        return sums;
    }

    private static void requireModerate(int column, String method, String what, String expected) {
        if (column >= 0) {
            throw new IllegalArgumentException("BatchNorm." + method + ": column " + column + " of " + what
                    + " is too large or too small for a batch in blocks, expected " + expected
                    + ", or train on the whole batch");
        }
    }

    /** Takes gradients and running statistics of a copy. */
    void takeFrom(BatchNorm copy) {
        gamma.setGradient(copy.gamma.ownGradient());
        beta.setGradient(copy.beta.ownGradient());
        running = copy.running;
    }

    private Pass requirePass(Matrix dy) {
        Pass pass = requirePass();
        Checks.requireShape(dy, pass.x.rows(), features, "BatchNorm.backward", "dy");
        return pass;
    }

    private void setGradients(double[] dgamma, double[] dbeta) {
        gamma.setGradient(row(dgamma));
        beta.setGradient(row(dbeta));
    }

    private static Matrix row(double[] values) {
        return Matrix.wrap(1, values.length, values);
    }

    /** {@return type and number of columns} */
    @Override
    public String toString() {
        return "BatchNorm " + features;
    }

    @Override
    int outputColumns(int rows, int columns, Method method) {
        if (columns != features && columns != UNKNOWN) {
            throw Checks.refusal("BatchNorm." + method, "x", Checks.shape(rows, columns), "Nx" + features);
        }
        if (rows < 2 && method == Method.FORWARD) {
            throw new IllegalArgumentException("BatchNorm.forward: x has "
                    + (rows == 1
                            ? "1 row, expected at least 2 because one row has no variance; use infer for single rows"
                            : "0 rows, expected at least 2"));
        }
        return features;
    }

    @Override
    Layer copy() {
        BatchNorm copy = new BatchNorm(features, epsilon, momentum);
        copy.restore(state());
        return copy;
    }

    /**
     * An affine layer that infers what the given one followed by this one infers now. {@code W' = W·γ/√(σ² + ε)} is
     * what this batch norm, with 0 for μ and β, infers from W. {@code b' = (b − μ)·γ/√(σ² + ε) + β} is what it infers
     * from b, which is 0 for an affine layer without bias. So every coefficient has the accuracy of {@link #infer}.
     */
    Affine mergedInto(Affine affine) {
        String where = "BatchNorm.folded";
        Matrix w = affine.weight().value();
        Matrix gamma = this.gamma.value();
        Statistics running = this.running;
        double[] variance = running.variance.data();
        for (int j = 0; j < features; j++) {
            if (variance[j] + epsilon == 0) {
                throw new IllegalArgumentException("BatchNorm.folded: variance + epsilon of column " + j
                        + " is 0.0, expected above 0; serve the network as it is");
            }
        }
        Matrix zero = Matrix.zeros(1, features);
        Matrix weight = normalized(
                w, normalization(new Statistics(zero, running.variance), gamma, zero), Normalization.NO_LEAST);
        Matrix b = affine.hasBias() ? affine.bias().value() : zero;
        Matrix bias = normalized(b, normalization(running, gamma, beta.value()), Normalization.NO_LEAST);
        Checks.requireFinite(weight, where, "folded weight");
        Checks.requireFinite(bias, where, "folded bias");
        return new Affine(weight, bias).withPrecision(affine.precision());
    }
}
