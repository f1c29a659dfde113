package io.github.backnorm.internal;

/**
 * What the kernels of batch norm read and write for some neighboring columns: sums over the rows, and the coefficients
 * of y and dh. {@link Panel} has the equations between them, under the same names.
 *
 * <p>With {@code d = h − c}:
 * <pre>{@code
 * y  = (yStart + f·d) − yAnchor
 * dh = (dhStart + f·dy + g·d) − dhAnchor
 * }</pre>
 * {@link DoubleDoubles#setAnchored} says what the anchors are for.
 */
class Quantities {
    /**
     * The most rows for which a sum and its rounding errors are collected before they are made a double-double again. A
     * longer block would lose digits where the pivot is far from the mean; a shorter one costs more time. The proof in
     * {@code docs/numerics.md} is for 32.
     */
    static final int BLOCK = 32;

    /** The first column. */
    final int from;

    /** The number of columns. */
    final int width;

    /** From an entry of h, y, dy or dh to the one below it: the number of columns of the array. */
    final int rowStep;

    /** c, which each entry is shifted by. */
    final double[] pivot;

    /** Σd. */
    final DoubleDoubles sumD;

    /** Σd². */
    final DoubleDoubles sumDSquare;

    /** f = γ·v, with the inverse standard deviation v. */
    final DoubleDoubles factor;

    /** What y is without its d, β − f·r, plus yAnchor. */
    final DoubleDoubles yStart;

    final double[] yAnchor;

    /** Σdy. */
    final DoubleDoubles sumDy;

    /** Σdy·d. */
    final DoubleDoubles sumDyD;

    /** Σdy², in one word. */
    final double[] sumDySquare;

    /** g = −f·v·dγ/N. */
    final DoubleDoubles slope;

    /** What dh is without its dy and d, −f·dβ/N − g·r, plus dhAnchor. */
    final DoubleDoubles dhStart;

    final double[] dhAnchor;

    Quantities(int from, int width, int rowStep) {
        this.from = from;
        this.width = width;
        this.rowStep = rowStep;
        this.pivot = new double[width];
        this.sumD = DoubleDoubles.zeros(width);
        this.sumDSquare = DoubleDoubles.zeros(width);
        this.factor = DoubleDoubles.zeros(width);
        this.yStart = DoubleDoubles.zeros(width);
        this.yAnchor = new double[width];
        this.sumDy = DoubleDoubles.zeros(width);
        this.sumDyD = DoubleDoubles.zeros(width);
        this.sumDySquare = new double[width];
        this.slope = DoubleDoubles.zeros(width);
        this.dhStart = DoubleDoubles.zeros(width);
        this.dhAnchor = new double[width];
    }

    /** Sets the coefficients of y and dh to those of fewer columns, over and over. */
    final void repeat(Quantities few) {
        repeat(few.pivot, pivot);
        repeat(few.factor, factor);
        repeat(few.yStart, yStart);
        repeat(few.yAnchor, yAnchor);
        repeat(few.slope, slope);
        repeat(few.dhStart, dhStart);
        repeat(few.dhAnchor, dhAnchor);
    }

    /** As {@link #repeat(double[], double[])}, of both words. */
    static void repeat(DoubleDoubles few, DoubleDoubles many) {
        repeat(few.hi(), many.hi());
        repeat(few.lo(), many.lo());
    }

    /** Fills an array, whose length is a multiple, with copies of a shorter one. */
    static void repeat(double[] few, double[] many) {
        for (int at = 0; at < many.length; at += few.length) {
            System.arraycopy(few, 0, many, at, few.length);
        }
    }

    /** Where the entries of a row begin in a row-major array. */
    final int at(int row) {
        return row * rowStep + from;
    }
}
