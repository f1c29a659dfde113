package io.github.backnorm;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A differentiable step from a batch {@code x} to a batch {@code y}, rows being samples, that can be trained and
 * served.
 *
 * <p>Training is {@link #forward}, then {@link #backward} with {@code dy = ∂L/∂y}: it gives {@code dx = ∂L/∂x} and sets
 * the gradient of each of the {@link #parameters}. Serving is {@link #infer}.
 *
 * <p>A layer of your own is an equal of the built-in ones. It has to implement {@code forward}, {@code backward} and
 * {@code infer}. If it has parameters, {@link #parameters} returns them, always the same objects in the same order; if
 * it has further state, it overrides both {@link #state} and {@link #restore}. A layer made of other layers delegates
 * these last three methods to them: running statistics are state, but not parameters. {@code backward} belongs to the
 * last {@code forward}, must work more than once, and uses the parameter values that this {@code forward} used.
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
     * Differentiates the last {@link #forward}: sets the gradients of the parameters, overwriting those before.
     *
     * @param dy ∂L/∂y, of the shape of that pass' y
     * @return ∂L/∂x, of the shape of that pass' x
     * @throws IllegalStateException if there is no such pass
     * @throws IllegalArgumentException if dy has another shape
     */
    Matrix backward(Matrix dy);

    /**
     * Evaluates the layer and changes nothing; safe from any number of threads.
     *
     * @param x the batch, one sample a row; the row's result does not depend on the other rows
     * @return y, with a row for each row of x
     * @throws IllegalArgumentException if the layer cannot take x
     */
    Matrix infer(Matrix x);

    /**
     * Sets the gradients as {@link #backward} does, but does not return ∂L/∂x, which a training step does not need from
     * the first layer of a network.
     *
     * @param dy ∂L/∂y, of the shape of the last pass' y
     * @throws IllegalStateException if there is no such pass
     * @throws IllegalArgumentException if dy has another shape
     */
    default void backwardParameters(Matrix dy) {
        backward(dy);
    }

    /** {@return the parameters, the same objects in the same order each time; none unless the layer says otherwise} */
    default List<Parameter> parameters() {
        return List.of();
    }

    /**
     * {@return all that the layer has learned, by name, in a fixed order: the values of the parameters, and whatever
     * else a layer adds} Store it, and pass it to {@link #restore} of a layer constructed in the same way.
     *
     * @throws IllegalStateException if two parameters have the same name
     */
    default Map<String, Matrix> state() {
        Map<String, Matrix> state = new LinkedHashMap<>();
        for (Parameter parameter : parameters()) {
            if (state.put(parameter.name(), parameter.value()) != null) {
                throw Checks.duplicateName(Checks.typeName(this) + ".state", parameter.name());
            }
        }
        return Collections.unmodifiableMap(state);
    }

    /**
     * Takes over a state, all of it or nothing. Gradients and the remembered pass stay as they are.
     *
     * @param state names and matrices as {@link #state} returns them
     * @throws IllegalArgumentException if a name is missing or unexpected or a matrix has another shape; the message
     *     lists all of them
     */
    default void restore(Map<String, Matrix> state) {
        Map<String, Matrix> copy = Checks.requireState(state, state(), Checks.typeName(this) + ".restore");
        for (Parameter parameter : parameters()) {
            parameter.setValue(copy.get(parameter.name()));
        }
    }
}
