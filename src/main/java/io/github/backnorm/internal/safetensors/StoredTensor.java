package io.github.backnorm.internal.safetensors;

import java.util.List;

/**
 * A tensor of a file. The shape has at most two dimensions; without any there is one entry.
 *
 * @param values the entries, with the last dimension running fastest; each is exact in the type. The array is not
 *     copied and must not change; its length must fit the shape.
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
public record StoredTensor(ElementType type, List<Integer> shape, double[] values) {
    public StoredTensor {
        shape = List.copyOf(shape);
    }
}
