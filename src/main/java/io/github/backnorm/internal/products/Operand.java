package io.github.backnorm.internal.products;

/**
 * A matrix as a product reads it: the entry in row i and column j is {@code data[i·rowStep + j·columnStep]}. One of the
 * two steps is 1, so a transpose is another view of the same array.
 *
 * @param data the entries themselves; a product does not change them
 * @param rowStep from an entry to the one below it
 * @param columnStep from an entry to the one right of it
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
public record Operand(double[] data, int rows, int columns, int rowStep, int columnStep) {
    /** A row-major array. */
    public static Operand of(int rows, int columns, double[] data) {
        return new Operand(data, rows, columns, columns, 1);
    }

    public Operand transposed() {
        return new Operand(data, columns, rows, columnStep, rowStep);
    }

    /** The index of the entry in row i and column j. */
    int at(int i, int j) {
        return i * rowStep + j * columnStep;
    }

    /** Whether the entries of a row lie side by side. */
    public boolean hasContiguousRows() {
        return columnStep == 1;
    }
}
