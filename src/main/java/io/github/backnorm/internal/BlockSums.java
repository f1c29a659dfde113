package io.github.backnorm.internal;

import java.util.Arrays;

/**
 * Sums over the rows of a block, or of a whole batch: some in two words, so that they can be rounded once when all
 * blocks are added, others in one.
 *
 * <p>They are put and taken in the same order, those in two words and those in one each by themselves.
 */
public final class BlockSums {
    private final DoubleDoubles pairs;
    private final double[] singles;
    private int nextPair;
    private int nextSingle;

    /** Zeros. */
    public BlockSums(int pairs, int singles) {
        this.pairs = DoubleDoubles.zeros(pairs);
        this.singles = new double[singles];
    }

    /** The leading words of the sums in two words, the array itself. */
    public double[] hi() {
        return pairs.hi();
    }

    /** The second words, the array itself. */
    public double[] lo() {
        return pairs.lo();
    }

    /** The sums in one word, the array itself. */
    public double[] singles() {
        return singles;
    }

    /** Whether all leading words are finite. */
    public boolean areFinite() {
        return Elementwise.firstNonFinite(hi()) < 0;
    }

    /** Puts the next sum in two words. */
    public void put(DoubleDouble sum) {
        pairs.set(nextPair++, sum);
    }

    /** Takes the next sum in two words. */
    public DoubleDouble takePair() {
        return pairs.get(nextPair++);
    }

    /** Puts the sums of the columns of a, m×n, in two words. */
    public void putColumnSums(int m, int n, double[] a) {
        pairs.restore(Columns.words(m, n, a), nextPair);
        nextPair += n;
    }

    /** Takes the next sums in two words, rounded. */
    public double[] takeRounded(int count) {
        double[] rounded = new double[count];
        Arrays.setAll(rounded, i -> takePair().value());
        return rounded;
    }

    /** Puts the next sums in one word. */
    public void put(double... sums) {
        System.arraycopy(sums, 0, singles, nextSingle, sums.length);
        nextSingle += sums.length;
    }

    /** Takes the next sums in one word. */
    public double[] take(int count) {
        nextSingle += count;
        return Arrays.copyOfRange(singles, nextSingle - count, nextSingle);
    }

    // The columns of a panel, of several quantities with so many columns each

    void putPairs(int quantity, Quantities panel, DoubleDoubles sums) {
        pairs.restore(sums, quantity * panel.rowStep + panel.from);
    }

    void takePairs(int quantity, Quantities panel, DoubleDoubles sums) {
        int from = quantity * panel.rowStep + panel.from;
        sums.set(pairs.copyOfRange(from, from + panel.width));
    }
}
