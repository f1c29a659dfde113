package io.github.backnorm;

import io.github.backnorm.internal.products.FloatRows;
import io.github.backnorm.internal.products.Operand;
import java.util.List;
import java.util.function.IntFunction;
import java.util.random.RandomGenerator;
import java.util.stream.Stream;

/**
 * Affine (fully connected) layer: {@code Y = X·W + b}, or {@linkplain #withoutBias without bias} {@code Y = X·W}.
 *
 * <p>Shapes for a batch of N rows: X is N×D, W is D×L, b is 1×L, Y is N×L. The derivation writes h for Y, because y is
 * the output of batch norm there.
 *
 * <p>Given {@code dY = ∂L/∂Y} (N×L), {@link #backward} computes
 * <pre>{@code
 * dX = dY·Wᵀ   (N×D)
 * dW = Xᵀ·dY   (D×L)
 * db = Σᵢ dYᵢ  (1×L)
 * }</pre>
 *
 * <p>Numerical behavior: an entry of a product is one chain of fused multiply-adds, as in {@link Matrix#times(Matrix)};
 * the bias is added after it. {@linkplain #withPrecision In single precision} the three products have fewer digits and,
 * where they are large, take little more than half the time. db is rounded once, as {@link Matrix#columnSums} is. NaN
 * and ±Infinity pass through IEEE 754 arithmetic. A row of Y depends on no row of X but its own.
 *
 * <p>Threads: as {@link Layer} says; a call reads W and b once each, so it never sees a partly replaced matrix.
 *
 * @see <a href="https://github.com/backnorm/backnorm/blob/main/docs/derivation.md">The derivation</a>
 */
public final class Affine extends ArrayLayer<Affine.Pass> implements Layer {
    private final Parameter weight;
    private final Precision precision;

    /** The weight and, if there is one, the bias. */
    private final List<Parameter> parameters;

    /** What backward needs: the input, and the weight that was used. */
    record Pass(Matrix x, Matrix w) {}

    /** The last weight that few rows were inferred with in single precision. */
    private volatile Rounded rounded = new Rounded(Matrix.zeros(0, 0));

    /** A weight, and its rows as floats. */
    private record Rounded(Matrix w, FloatRows rows) {
        Rounded(Matrix w) {
            this(w, new FloatRows(w.operand()));
        }
    }

    /**
     * Makes a layer with random weights, uniform in {@code ±√(6/inputs)}, and zero bias. They keep the
     * size of a batch through layers with ReLU; see {@link #outputLayer} for the last layer. The weights are drawn row
     * by row from {@link RandomGenerator#nextDouble()}.
     *
     * @param inputs D, the number of columns of X, at least 0
     * @param outputs L, the number of columns of Y, at least 0
     * @param random the generator of the weights
     * @throws IllegalArgumentException if inputs or outputs is negative or there are too many weights for one array
     * @see <a href="https://arxiv.org/abs/1502.01852">K. He, X. Zhang, S. Ren, J. Sun, 2015, Delving Deep into
     *     Rectifiers: Surpassing Human-Level Performance on ImageNet Classification</a>
     */
    public Affine(int inputs, int outputs, RandomGenerator random) {
        this(uniform(6, inputs, outputs, random, "Affine.new"), Matrix.zeros(1, outputs));
    }

    /**
     * Makes a layer with the given parameters.
     *
     * @param weight W, D×L
     * @param bias b, 1×L
     * @throws IllegalArgumentException if the shapes do not fit
     */
    public Affine(Matrix weight, Matrix bias) {
        this(requireFit(weight, bias), List.of(new Parameter("bias", bias)), Precision.DOUBLE);
    }

    private Affine(Matrix weight, List<Parameter> bias, Precision precision) {
        this.weight = new Parameter("weight", weight);
        this.precision = precision;
        this.parameters = Stream.concat(Stream.of(this.weight), bias.stream()).toList();
    }

    private static Matrix requireFit(Matrix weight, Matrix bias) {
        Checks.requireNonNull(weight, "Affine.new", "weight");
        Checks.requireShape(
                bias, 1, weight.columns(), "Affine.new", "bias", " (the weight is " + Checks.shape(weight) + ")");
        return weight;
    }

    /**
     * {@return a layer with random weights, uniform in {@code ±√(1/inputs)}, and zero bias: for the last layer of a
     * network} The scores of a new network are then small. With the wider weights of the constructor they are large and
     * mostly wrong, and training first has to undo that. PyTorch draws the weights of every {@code Linear} by
     * this rule.
     *
     * @param inputs D, the number of columns of X, at least 0
     * @param outputs L, the number of columns of Y, at least 0
     * @param random the generator of the weights, drawn as by the constructor
     * @throws IllegalArgumentException if inputs or outputs is negative or there are too many weights for one array
     */
    public static Affine outputLayer(int inputs, int outputs, RandomGenerator random) {
        return new Affine(uniform(1, inputs, outputs, random, "Affine.outputLayer"), Matrix.zeros(1, outputs));
    }

    /** Numbers uniform in ±√(square/inputs). */
    private static Matrix uniform(double square, int inputs, int outputs, RandomGenerator random, String where) {
        Checks.requireNotNegative(inputs, where, "inputs");
        Checks.requireNotNegative(outputs, where, "outputs");
        Checks.requireSize(inputs, outputs, where);
        Checks.requireNonNull(random, where, "random");
        double bound = Math.sqrt(square / inputs);
        return Matrix.generate(inputs, outputs, (row, column) -> bound * (2 * random.nextDouble() - 1));
    }

    /**
     * {@return a new layer {@code Y = X·W} with this one's weight and precision, and without bias} In front of a batch
     * norm a bias has no effect, for it is subtracted with the mean. Its gradient there is rounding noise, which Adam
     * turns into steps of full size.
     */
    public Affine withoutBias() {
        return new Affine(weight.value(), List.of(), precision);
    }

    /**
     * {@return a new layer with this one's weight and bias, which forms its products in a precision} In single
     * precision {@link #infer} of up to four rows keeps the weight as floats, which takes half the memory of the weight
     * once more.
     *
     * @param precision the precision; a new layer has {@link Precision#DOUBLE}
     * @see Network#withPrecision
     */
    public Affine withPrecision(Precision precision) {
        Checks.requireNonNull(precision, "Affine.withPrecision", "precision");
        List<Parameter> bias = hasBias() ? List.of(new Parameter("bias", bias().value())) : List.of();
        return new Affine(weight.value(), bias, precision);
    }

    /** {@return the precision in which the layer multiplies} */
    public Precision precision() {
        return precision;
    }

    /** {@return W, D×L} */
    public Parameter weight() {
        return weight;
    }

    /** {@return whether the layer has a bias} */
    public boolean hasBias() {
        return parameters.size() > 1;
    }

    /**
     * {@return b, 1×L}
     *
     * @throws IllegalStateException if the layer has no bias
     */
    public Parameter bias() {
        if (!hasBias()) {
            throw new IllegalStateException("Affine.bias: the layer has none; ask hasBias() first");
        }
        return parameters.get(1);
    }

    /** {@return D, the number of columns of X} */
    public int inputs() {
        return weight.value().rows();
    }

    /** {@return L, the number of columns of Y} */
    public int outputs() {
        return weight.value().columns();
    }

    /** {@return W and, if there is one, b} */
    @Override
    public List<Parameter> parameters() {
        return parameters;
    }

    /**
     * {@inheritDoc} Derivation: (1).
     *
     * @param x X, N×D, N at least 0
     * @return Y, N×L
     */
    @Override
    public Matrix forward(Matrix x) {
        return forward(x, double[]::new);
    }

    @Override
    Matrix forward(Matrix x, IntFunction<double[]> arrayFor) {
        forget();
        requireInput(x, Method.FORWARD);
        Matrix w = weight.value();
        Matrix h = affine(x, w, arrayFor);
        remember(new Pass(x, w));
        return h;
    }

    private Matrix affine(Matrix x, Matrix w, IntFunction<double[]> arrayFor) { // (1)
        return Matrix.product(precision, x.operand(), w.operand(), row(), arrayFor);
    }

    /** What is added to each row of the product. */
    private Matrix row() {
        return hasBias() ? bias().value() : Matrix.NO_ROW;
    }

    /**
     * {@inheritDoc}
     *
     * @param x X, N×D, N at least 0
     * @return Y, N×L
     */
    @Override
    public Matrix infer(Matrix x) {
        requireInput(x, Method.INFER);
        Matrix w = weight.value();
        if (precision == Precision.DOUBLE || x.rows() > FloatRows.FEW) {
            return affine(x, w, double[]::new);
        }
        return Matrix.product(x.operand(), rounded(w).rows, row());
    }

    @SuppressWarnings("ReferenceEquality") // equal but distinct ones only cost another rounding
    private Rounded rounded(Matrix w) {
        Rounded last = rounded;
        if (last.w != w) {
            last = new Rounded(w);
            rounded = last;
        }
        return last;
    }

    /**
     * {@inheritDoc} Derivation: (21), (22), (23).
     *
     * @param dy dY, N×L
     * @return dX, N×D
     */
    @Override
    public Matrix backward(Matrix dy) {
        return backward(dy, double[]::new);
    }

    @Override
    Matrix backward(Matrix dy, IntFunction<double[]> arrayFor) {
        backwardParameters(dy);
        return product(dy.operand(), pass().w.operand().transposed(), arrayFor); // (23)
    }

    @Override
    public void backwardParameters(Matrix dy) {
        Pass pass = requirePass();
        Checks.requireShape(dy, pass.x.rows(), outputs(), "Affine.backward", "dy");
        weight.setOwnGradient(product(pass.x.operand().transposed(), dy.operand(), weight::arrayForGradient)); // (21)
        if (hasBias()) {
            bias().setGradient(dy.columnSums()); // (22)
        }
    }

    private Matrix product(Operand left, Operand right, IntFunction<double[]> arrayFor) {
        return Matrix.product(precision, left, right, Matrix.NO_ROW, arrayFor);
    }

    /** {@return type, shape and what is not the default} */
    @Override
    public String toString() {
        return "Affine " + inputs() + "→" + outputs() + (hasBias() ? "" : " without bias")
                + (precision == Precision.DOUBLE ? "" : " in single precision");
    }

    @Override
    int outputColumns(int rows, int columns, Method method) {
        if (columns != inputs() && columns != UNKNOWN) {
            throw Checks.refusal(
                    "Affine." + method,
                    "x",
                    Checks.shape(rows, columns),
                    "Nx" + inputs() + " (the layer has " + inputs() + " inputs)");
        }
        if ((long) rows * outputs() > Checks.MAX_ENTRIES) { // no text is formed if the size fits
            Checks.requireSize(rows, outputs(), "Affine." + method);
        }
        return outputs();
    }

    @Override
    Layer copy() {
        return withPrecision(precision);
    }
}
