package io.github.backnorm.internal.safetensors;

import java.util.List;

/**
 * A tensor of a file: its entries, each one exactly representable in the type, with the last dimension running
 * fastest. The shape has at most two dimensions; without any there is one entry.
 *
 * @param values the entries themselves, which nobody may change; their number must be right
 */
@SuppressWarnings("ArrayRecordComponent") // nobody compares two of them
public record StoredTensor(ElementType type, List<Integer> shape, double[] values) {
    public StoredTensor {
        shape = List.copyOf(shape);
    }
}
