package io.github.backnorm.internal;

import java.util.List;

/**
 * A tensor of a file: its entries, each one exactly representable in the type, with the last dimension running
 * fastest. The shape has at most two dimensions; without any there is one entry.
 */
public final class StoredTensor {
    private final ElementType type;
    private final List<Integer> shape;
    private final double[] values;

    /** A tensor over the array itself, which nobody may change from then on; its length must be right. */
    public StoredTensor(ElementType type, List<Integer> shape, double[] values) {
        this.type = type;
        this.shape = List.copyOf(shape);
        this.values = values;
    }

    public ElementType type() {
        return type;
    }

    public List<Integer> shape() {
        return shape;
    }

    /** The entries themselves, for reading only. */
    public double[] values() {
        return values;
    }
}
