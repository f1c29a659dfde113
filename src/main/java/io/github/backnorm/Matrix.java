package io.github.backnorm;

import io.github.backnorm.internal.Columns;
import io.github.backnorm.internal.Elementwise;
import io.github.backnorm.internal.Products;
import io.github.backnorm.internal.products.FloatRows;
import io.github.backnorm.internal.products.Operand;
import java.util.Arrays;
import java.util.Objects;
import java.util.function.DoubleBinaryOperator;
import java.util.function.DoubleUnaryOperator;
import java.util.function.IntFunction;

/**
 * Immutable dense matrix of doubles in row-major order; in a batch the rows are the samples.
 *
 * <p>Every operation returns a new matrix. Zero rows or columns are shapes like any other. Two matrices are equal if
 * their shapes and bits are, as {@link Arrays#equals(double[], double[])} compares them: NaN equals NaN, +0.0 and −0.0
 * differ.
 *
 * <p>The bits of a result depend on the operands only. An entry of a product is one chain of fused multiply-adds over
 * the inner index in increasing order. A sum is formed from its first entry to its last and is rounded once. NaN and
 * ±Infinity pass through IEEE 754 arithmetic.
 *
 * <p>Safe for use by any number of threads.
 */
public final class Matrix {
    /** The row for products to which none is added. */
    static final Matrix NO_ROW = wrap(1, 0, Products.NO_ROW);

    private static final int SHOWN = 6; // rows and columns that toString writes out

    private final int rows;
    private final int columns;
    private final double[] data;

    private Matrix(int rows, int columns, double[] data) {
        this.rows = rows;
        this.columns = columns;
        this.data = data;
    }

    /** A matrix over the array itself. The length must be right, and the array must not change while it is in use. */
    static Matrix wrap(int rows, int columns, double[] data) {
        return new Matrix(rows, columns, data);
    }

    /** The entries themselves, row by row, for reading only. */
    double[] data() {
        return data;
    }

    /**
     * {@return the matrix with the given entries}
     *
     * @param rows number of rows, at least 0
     * @param columns number of columns, at least 0
     * @param rowMajor the entries, row after row; copied
     * @throws IllegalArgumentException if rows or columns is negative, there are too many entries for one array, or not
     *     rows·columns values
     */
    public static Matrix of(int rows, int columns, double... rowMajor) {
        int size = Checks.requireSize(rows, columns, "Matrix.of");
        Checks.requireLength(rowMajor, size, "Matrix.of", "values", Checks.shape(rows, columns) + " = " + size);
        return wrap(rows, columns, rowMajor.clone());
    }

    /**
     * {@return the matrix with the given rows; without any it is 0×0}
     *
     * @param rows the rows, all of one length; copied
     * @throws IllegalArgumentException if the rows differ in length or there are too many entries for one array
     */
    public static Matrix ofRows(double[]... rows) {
        Checks.requireNonNull(rows, "Matrix.ofRows", "rows");
        int columns = rows.length == 0 ? 0 : Checks.requireNonNull(rows[0], "Matrix.ofRows", "row 0").length;
        double[] data = new double[Checks.requireSize(rows.length, columns, "Matrix.ofRows")];
        for (int i = 0; i < rows.length; i++) {
            Checks.requireLength(rows[i], columns, "Matrix.ofRows", "row " + i, columns + " (the length of row 0)");
            System.arraycopy(rows[i], 0, data, i * columns, columns);
        }
        return wrap(rows.length, columns, data);
    }

    /**
     * {@return the 1×n matrix with the given entries: a bias, a mean}
     *
     * @param values the entries; copied
     */
    public static Matrix ofRow(double... values) {
        Checks.requireNonNull(values, "Matrix.ofRow", "values");
        return wrap(1, values.length, values.clone());
    }

    /**
     * {@return the matrix of zeros}
     *
     * @param rows number of rows, at least 0
     * @param columns number of columns, at least 0
     * @throws IllegalArgumentException if rows or columns is negative or there are too many entries for one array
     */
    public static Matrix zeros(int rows, int columns) {
        return wrap(rows, columns, new double[Checks.requireSize(rows, columns, "Matrix.zeros")]);
    }

    /**
     * {@return the matrix whose entries all have one value}
     *
     * @param rows number of rows, at least 0
     * @param columns number of columns, at least 0
     * @param value the value, any double
     * @throws IllegalArgumentException if rows or columns is negative or there are too many entries for one array
     */
    public static Matrix filled(int rows, int columns, double value) {
        double[] data = new double[Checks.requireSize(rows, columns, "Matrix.filled")];
        Arrays.fill(data, value);
        return wrap(rows, columns, data);
    }

    /**
     * {@return the matrix whose entries a function gives} The function is called row by row on the caller's thread, so
     * a seeded random generator gives the same matrix each time.
     *
     * @param rows number of rows, at least 0
     * @param columns number of columns, at least 0
     * @param f the entry at a row and a column
     * @throws IllegalArgumentException if rows or columns is negative or there are too many entries for one array
     */
    public static Matrix generate(int rows, int columns, EntryFunction f) {
        double[] data = new double[Checks.requireSize(rows, columns, "Matrix.generate")];
        Checks.requireNonNull(f, "Matrix.generate", "f");
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++) {
                data[i * columns + j] = f.at(i, j);
            }
        }
        return wrap(rows, columns, data);
    }

    /** The entry of a matrix as a function of its place. */
    @FunctionalInterface
    public interface EntryFunction {
        /**
         * {@return the entry}
         *
         * @param row the row, counted from 0
         * @param column the column, counted from 0
         */
        double at(int row, int column);
    }

    /** {@return the number of rows} */
    public int rows() {
        return rows;
    }

    /** {@return the number of columns} */
    public int columns() {
        return columns;
    }

    /**
     * {@return an entry}
     *
     * @param row the row, counted from 0
     * @param column the column, counted from 0
     * @throws IndexOutOfBoundsException if there is no such entry
     */
    public double get(int row, int column) {
        Checks.requireIndex(row, rows, "Matrix.get", "row");
        Checks.requireIndex(column, columns, "Matrix.get", "column");
        return data[row * columns + column];
    }

    /** {@return the entries, row after row, in a new array} */
    public double[] toArray() {
        return data.clone();
    }

    /**
     * {@return one row, 1×n}
     *
     * @param row the row, counted from 0
     * @throws IndexOutOfBoundsException if there is no such row
     */
    public Matrix row(int row) {
        Checks.requireIndex(row, rows, "Matrix.row", "row");
        return wrap(1, columns, Arrays.copyOfRange(data, row * columns, (row + 1) * columns));
    }

    /**
     * {@return the given rows in the given order, a mini-batch; a row may occur more than once}
     *
     * @param rows the rows, counted from 0
     * @throws IndexOutOfBoundsException if there is no such row
     * @throws IllegalArgumentException if there are too many entries for one array
     */
    public Matrix selectRows(int... rows) {
        Checks.requireNonNull(rows, "Matrix.selectRows", "rows");
        double[] selected = new double[Checks.requireSize(rows.length, columns, "Matrix.selectRows")];
        for (int i = 0; i < rows.length; i++) {
            int row = Checks.requireIndex(rows[i], this.rows, "Matrix.selectRows", "row");
            System.arraycopy(data, row * columns, selected, i * columns, columns);
        }
        return wrap(rows.length, columns, selected);
    }

    /**
     * Returns the matrix product {@code this·right}.
     *
     * <p>An entry is {@code Σₚ this[i,p]·right[p,j]}, formed as {@code acc = fma(this[i,p], right[p,j], acc)} from +0.0
     * with p increasing; no term is skipped, so {@code 0·NaN} is NaN. Its error is at most {@code γₖ·(|this|·|right|)}
     * with {@code γₖ = k·u/(1 − k·u)}, {@code u = 2⁻⁵³} (Higham, 2002, <i>Accuracy and Stability of Numerical
     * Algorithms</i>, §3.5).
     *
     * @param right a k×n matrix where this one is m×k
     * @return the m×n product; zeros if k = 0
     * @throws IllegalArgumentException if the shapes do not fit or the product has too many entries for one array
     */
    public Matrix times(Matrix right) {
        Checks.requireNonNull(right, "Matrix.times", "right");
        if (right.rows != columns) {
            throw Checks.refusal(
                    "Matrix.times", "right", Checks.shape(right), columns + "xN (this is " + Checks.shape(this) + ")");
        }
        Checks.requireSize(rows, right.columns, "Matrix.times");
        return product(Precision.DOUBLE, operand(), right.operand(), NO_ROW, double[]::new);
    }

    /** This matrix as a product reads it. */
    Operand operand() {
        return Operand.of(rows, columns, data);
    }

    /**
     * {@code left·right} in an array that {@code arrayFor} gives, with {@code row} added to each row unless it is
     * {@link #NO_ROW}. The shapes must fit, and an array must hold the product.
     */
    static Matrix product(
            Precision precision, Operand left, Operand right, Matrix row, IntFunction<double[]> arrayFor) {
        double[] product = precision == Precision.SINGLE
                ? Products.multiplySingle(left, right, row.data, arrayFor)
                : Products.multiply(left, right, row.data, arrayFor);
        return wrap(left.rows(), right.columns(), product);
    }

    /** As {@link #product}, in single precision, for a right operand that is rounded already. */
    static Matrix product(Operand left, FloatRows right, Matrix row) {
        return wrap(left.rows(), right.columns(), Products.multiplySingle(left, right, row.data));
    }

    /**
     * {@return every entry multiplied by a factor}
     *
     * @param factor the factor, any double
     */
    public Matrix times(double factor) {
        double[] product = new double[data.length];
        Elementwise.scale(factor, data, product);
        return wrap(rows, columns, product);
    }

    /** {@return the transpose, n×m for an m×n matrix} */
    public Matrix transpose() {
        double[] transposed = new double[data.length];
        Products.transpose(rows, columns, data, transposed);
        return wrap(columns, rows, transposed);
    }

    /**
     * {@return the sum, entry by entry}
     *
     * @param other a matrix of this shape
     * @throws IllegalArgumentException if the shapes differ
     */
    public Matrix plus(Matrix other) {
        Checks.requireShape(other, rows, columns, "Matrix.plus", "other");
        double[] sum = new double[data.length];
        Elementwise.add(data, other.data, sum);
        return wrap(rows, columns, sum);
    }

    /**
     * {@return the difference, entry by entry}
     *
     * @param other a matrix of this shape
     * @throws IllegalArgumentException if the shapes differ
     */
    public Matrix minus(Matrix other) {
        Checks.requireShape(other, rows, columns, "Matrix.minus", "other");
        double[] difference = new double[data.length];
        Elementwise.subtract(data, other.data, difference);
        return wrap(rows, columns, difference);
    }

    /**
     * {@return the product entry by entry (Hadamard product)}
     *
     * @param other a matrix of this shape
     * @throws IllegalArgumentException if the shapes differ
     */
    public Matrix hadamard(Matrix other) {
        Checks.requireShape(other, rows, columns, "Matrix.hadamard", "other");
        double[] product = new double[data.length];
        Elementwise.multiply(data, other.data, product);
        return wrap(rows, columns, product);
    }

    /**
     * {@return {@code this + factor·other}, each entry one fused multiply-add: a step of gradient descent, if the
     * factor is −rate and the other matrix the gradient}
     *
     * @param factor the factor, any double
     * @param other a matrix of this shape
     * @throws IllegalArgumentException if the shapes differ
     */
    public Matrix plusScaled(double factor, Matrix other) {
        Checks.requireShape(other, rows, columns, "Matrix.plusScaled", "other");
        double[] sum = new double[data.length];
        Elementwise.addScaled(data, factor, other.data, sum);
        return wrap(rows, columns, sum);
    }

    /**
     * {@return this matrix with a row, such as a bias, added to each of its rows}
     *
     * @param row a 1×n matrix where this one is m×n
     * @throws IllegalArgumentException if the row is not 1×n
     */
    public Matrix plusRow(Matrix row) {
        Checks.requireShape(row, 1, columns, "Matrix.plusRow", "row");
        double[] sum = new double[data.length];
        Columns.addRow(rows, columns, data, row.data, sum);
        return wrap(rows, columns, sum);
    }

    /**
     * {@return the sums of the columns, 1×n; zeros if there is no row}
     *
     * <p>A sum is formed from the first row to the last, carries its rounding errors along and is rounded once. Its
     * error is at most 1 ulp of the exact sum + {@code 11·m·2⁻¹⁰⁶·Σ|entries|}, unless Σ|entries| overflows.
     */
    public Matrix columnSums() {
        double[] sums = new double[Checks.requireSize(1, columns, "Matrix.columnSums")];
        Columns.sums(rows, columns, data, sums);
        return wrap(1, columns, sums);
    }

    /**
     * {@return the means of the columns, 1×n, rounded once as {@link #columnSums} are}
     *
     * @throws IllegalArgumentException if there is no row
     */
    public Matrix columnMeans() {
        if (rows == 0) {
            throw Checks.refusal("Matrix.columnMeans", "this", Checks.shape(this), "at least 1 row");
        }
        double[] means = new double[columns];
        Columns.means(rows, columns, data, means);
        return wrap(1, columns, means);
    }

    /**
     * {@return the sums of the rows, m×1, formed from the first column to the last, with the accuracy of {@link
     * #columnSums}}
     */
    public Matrix rowSums() {
        double[] sums = new double[Checks.requireSize(rows, 1, "Matrix.rowSums")];
        Columns.rowSums(rows, columns, data, sums);
        return wrap(rows, 1, sums);
    }

    /** {@return the sum of all entries, formed row by row, with the accuracy of {@link #columnSums}} */
    public double sum() {
        return wrap(1, data.length, data).rowSums().data[0];
    }

    /**
     * {@return for each row the column of its largest entry, the first one in case of a tie: the predicted class of
     * each sample}
     *
     * <p>A NaN counts as larger than any number: a row with NaN gives the column of its first one, so a row of nothing
     * but NaN gives 0, which looks like a class. Look for NaN in the scores themselves.
     *
     * @throws IllegalArgumentException if there are rows but no columns
     */
    public int[] argMaxOfRows() {
        if (columns == 0 && rows > 0) {
            throw Checks.refusal("Matrix.argMaxOfRows", "this", Checks.shape(this), "at least 1 column");
        }
        int[] argMax = new int[rows];
        for (int i = 0; i < rows; i++) {
            int best = i * columns;
            for (int at = best + 1; at < (i + 1) * columns && !Double.isNaN(data[best]); at++) {
                if (data[at] > data[best] || Double.isNaN(data[at])) {
                    best = at;
                }
            }
            argMax[i] = best - i * columns;
        }
        return argMax;
    }

    /**
     * {@return the matrix of the function's values, entry by entry}
     *
     * @param f a function of one entry, called row by row on the caller's thread
     */
    public Matrix map(DoubleUnaryOperator f) {
        Checks.requireNonNull(f, "Matrix.map", "f");
        double[] values = new double[data.length];
        for (int i = 0; i < values.length; i++) {
            values[i] = f.applyAsDouble(data[i]);
        }
        return wrap(rows, columns, values);
    }

    /**
     * {@return the matrix of the function's values for the entries of this matrix and another, pair by pair}
     *
     * @param other a matrix of this shape
     * @param f a function of an entry of this matrix and the one of the other, called row by row on the caller's thread
     * @throws IllegalArgumentException if the shapes differ
     */
    public Matrix combine(Matrix other, DoubleBinaryOperator f) {
        Checks.requireShape(other, rows, columns, "Matrix.combine", "other");
        Checks.requireNonNull(f, "Matrix.combine", "f");
        double[] values = new double[data.length];
        for (int i = 0; i < values.length; i++) {
            values[i] = f.applyAsDouble(data[i], other.data[i]);
        }
        return wrap(rows, columns, values);
    }

    /** {@return whether the object is a matrix of this shape with the same bits; NaN equals NaN, +0.0 is not −0.0} */
    @Override
    public boolean equals(Object object) {
        return object instanceof Matrix other
                && rows == other.rows
                && columns == other.columns
                && Arrays.equals(data, other.data);
    }

    /** {@return a hash of shape and bits} */
    @Override
    public int hashCode() {
        return 31 * Objects.hash(rows, columns) + Arrays.hashCode(data);
    }

    /** {@return the shape and the entries, or the first of them where there are many} */
    @Override
    public String toString() {
        StringBuilder text = new StringBuilder(Checks.shape(this)).append(" [");
        for (int i = 0; i < Math.min(rows, SHOWN); i++) {
            text.append(i == 0 ? "[" : ", [");
            for (int j = 0; j < Math.min(columns, SHOWN); j++) {
                text.append(j == 0 ? "" : ", ").append(data[i * columns + j]);
            }
            text.append(columns > SHOWN ? ", …]" : "]");
        }
        return text.append(rows > SHOWN ? ", …]" : "]").toString();
    }
}
