package io.github.backnorm;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A differentiable step from a batch {@code x} to a batch {@code y}, for training and serving. The rows of a batch are
 * the samples.
 *
 * <p>Training calls {@link #forward}, then {@link #backward} with {@code dy = ∂L/∂y}, which returns {@code dx = ∂L/∂x}
 * and sets the gradient of each of the {@link #parameters}. Serving calls {@link #infer}.
 *
 * <p>Layers of your own train and infer in a network as the built-in ones do; only methods that copy layers, such as
 * {@link Network#folded}, and {@link PyTorch} refuse them. A layer has to implement {@code forward}, {@code backward}
 * and {@code infer}. {@code backward} differentiates the last {@code forward} with the parameter values of that pass,
 * and must work more than once. A layer with parameters returns them from {@link #parameters}, always the same objects
 * in the same order. A layer with further state overrides both {@link #state} and {@link #restore}. A layer made of
 * layers delegates these three methods to them, since running statistics are state but not parameters.
 *
 * <p>Threads: only one thread at a time trains; any number of threads may call {@code infer}, even during training.
 */
public interface Layer {
    /**
     * Runs the training pass and remembers what {@link #backward} needs of it.
     *
     * @param x the batch, one sample a row
     * @return y, with a row for each row of x
     * @throws IllegalArgumentException if the layer cannot take x
     */
    Matrix forward(Matrix x);

    /**
     * Differentiates the last {@link #forward} and overwrites the gradients of the parameters.
     *
     * @param dy ∂L/∂y, of the shape of that pass's y
     * @return ∂L/∂x, of the shape of that pass's x
     * @throws IllegalStateException if there is no forward pass to differentiate
     * @throws IllegalArgumentException if dy has another shape
     */
    Matrix backward(Matrix dy);

    /**
     * Evaluates the layer and changes nothing. A row of y depends on no row of x but its own. Safe from any number of
     * threads.
     *
     * @param x the batch, one sample a row
     * @return y, with a row for each row of x
     * @throws IllegalArgumentException if the layer cannot take x
     */
    Matrix infer(Matrix x);

    /**
     * Sets the gradients as {@link #backward} does, without returning ∂L/∂x. A training step does not need it from the
     * first layer of a network.
     *
     * @param dy ∂L/∂y, of the shape of the last pass's y
     * @throws IllegalStateException if there is no forward pass to differentiate
     * @throws IllegalArgumentException if dy has another shape
     */
    default void backwardParameters(Matrix dy) {
        backward(dy);
    }

    /** {@return the parameters, the same objects in the same order each time; none by default} */
    default List<Parameter> parameters() {
        return List.of();
    }

    /**
     * {@return all that the layer has learned, by name, in a fixed order: the values of the parameters, and any further
     * state} Store it, and pass it to {@link #restore} of a layer constructed in the same way.
     *
     * @throws IllegalStateException if two parameters have the same name
     */
    default Map<String, Matrix> state() {
        Map<String, Matrix> state = new LinkedHashMap<>();
        for (Parameter parameter : parameters()) {
            if (state.put(parameter.name(), parameter.value()) != null) {
                throw new IllegalStateException(Checks.typeName(this) + ".state: two parameters have the name "
                        + parameter.name() + ", expected one; a layer made of layers must delegate state and restore"
                        + " to them");
            }
        }
        return Collections.unmodifiableMap(state);
    }

    /**
     * Replaces the state, all of it or nothing. Gradients and the remembered pass stay as they are.
     *
     * @param state names and matrices as {@link #state} returns them
     * @throws IllegalArgumentException if a name is missing or unexpected or a matrix has another shape; the message
     *     lists every such fault
     */
    default void restore(Map<String, Matrix> state) {
        Map<String, Matrix> copy = Checks.requireState(state, state(), Checks.typeName(this) + ".restore");
        for (Parameter parameter : parameters()) {
            parameter.setValue(copy.get(parameter.name()));
        }
    }
}
