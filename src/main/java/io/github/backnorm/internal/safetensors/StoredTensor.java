package io.github.backnorm.internal.safetensors;

import java.util.List;

/**
 * A tensor of a file. A shape without dimensions has one entry.
 *
 * @param values the entries, with the last dimension running fastest; each is exact in the type. The array is not
 *     copied and must not change; its length must fit the shape.
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
public record StoredTensor(ElementType type, List<Integer> shape, double[] values) {
    private static final long TOO_LARGE = 1L << 31;

    public StoredTensor {
        shape = List.copyOf(shape);
    }

    /** The columns of the tensor as a matrix: the last dimension; 1 without any. */
    public int columns() {
        return shape.isEmpty() ? 1 : shape.get(shape.size() - 1);
    }

    /** The rows of the tensor as a matrix: the product of all dimensions but the last. */
    public int rows() {
        return (int) rows(shape);
    }

    /** As {@link #product}. */
    static long rows(List<Integer> shape) {
        return product(shape.subList(0, Math.max(0, shape.size() - 1)));
    }

    /** The product of dimensions, or 2³¹ if it is larger. */
    static long product(List<Integer> dimensions) {
        long product = 1;
        for (int dimension : dimensions) {
            product = Math.min(product * dimension, TOO_LARGE); // 0 makes it 0 yet
        }
        return product;
    }
}
