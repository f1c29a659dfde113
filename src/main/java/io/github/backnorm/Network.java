package io.github.backnorm;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.BiFunction;
import java.util.stream.Collectors;

/**
 * Layers one after the other: {@code y = layerₙ(… layer₁(layer₀(x)))}. A network is itself a layer; without layers it
 * is the identity.
 *
 * <p>{@link #forward} and {@link #infer} run the layers from the first to the last. {@link #backward} applies the chain
 * rule from the last to the first: a layer's dx is the dy of the layer before it.
 *
 * <p>Shapes are checked along the chain when the network is made, and again before a batch runs, as far as they are
 * known: the number of columns behind a layer that is not built in is not. A layer may still refuse the batch when its
 * turn comes: for a NaN, or for a shape that depends on a layer not built in. By then the layers before it have
 * processed the batch, and their running statistics have moved.
 *
 * <p>Layers count from 0, in messages as in {@link #state}. A layer or parameter object occurs at most once in a
 * network, nested networks included.
 *
 * <p>Memory: a network keeps its last training pass, with the results and gradients between the layers, until the next
 * one. A {@link #folded} copy that only infers keeps none.
 *
 * <p>Threads: as {@link Layer} says. An {@code infer} while another thread trains may see parameters of different
 * steps. To serve one consistent model, let the thread that trains make a copy between two steps, {@link #folded} or
 * {@linkplain #restore restored}, and serve that.
 */
public final class Network extends BuiltInLayer<Network.Pass> implements Layer {
    private final List<Layer> layers;
    private final List<Step> steps;

    /** The claim of the last {@link Shard} that was made of this network. */
    Object claim;

    /**
     * What backward needs: each layer's pass (a user's layer itself), and the number of rows and, of the input of each
     * step and of y, the numbers of columns.
     */
    record Pass(List<Object> ofLayers, int rows, List<Integer> columns) {}

    /**
     * Makes a network of the given layers.
     *
     * @param layers the layers, first to last
     * @throws IllegalArgumentException if a layer or parameter object occurs twice; or if a layer cannot take the
     *     columns of the one before it, as far as that is known without a batch
     * @throws IllegalStateException if two parameters of a layer have the same name, so that its {@link #state} fails
     */
    public Network(Layer... layers) {
        Checks.requireNonNull(layers, "Network.new", "layers");
        for (int i = 0; i < layers.length; i++) {
            Checks.requireNonNull(layers[i], "Network.new", "layer " + i);
        }
        this.layers = List.of(layers);
        this.steps = Step.of(this.layers);
        requireDistinct(Collections.newSetFromMap(new IdentityHashMap<>()), "Network.new");
        outputColumns(UNKNOWN, UNKNOWN, Method.NEW);
    }

    private void requireDistinct(Set<Object> seen, String where) {
        for (int i = 0; i < layers.size(); i++) {
            Layer layer = layers.get(i);
            String place = Checks.place(i, layer);
            if (!seen.add(layer)) {
                throw Checks.occursTwice(where, place);
            }
            if (layer instanceof Network nested) {
                nested.requireDistinct(seen, where + ": " + place);
                continue;
            }
            layer.state(); // refuses equal names now rather than when the model is to be saved
            for (Parameter parameter : layer.parameters()) {
                if (!seen.add(parameter)) {
                    throw Checks.occursTwice(where, "parameter " + parameter.name() + " of " + place);
                }
            }
        }
    }

    /** {@return the layers, first to last, unmodifiable} */
    public List<Layer> layers() {
        return layers;
    }

    /** {@return the parameters of all layers, first to last} */
    @Override
    public List<Parameter> parameters() {
        return layers.stream().flatMap(layer -> layer.parameters().stream()).toList();
    }

    /**
     * The parameters of a layer by name: of a network's layers under the names of its state, of another layer as it
     * lists them, where a name's second parameter is {@code weight.1}, its third {@code weight.2}.
     */
    static Map<String, Parameter> parametersByName(Layer layer) {
        Map<String, Parameter> parameters = new LinkedHashMap<>();
        if (layer instanceof Network network) {
            for (int i = 0; i < network.layers.size(); i++) {
                String prefix = i + ".";
                parametersByName(network.layers.get(i))
                        .forEach((name, parameter) -> parameters.put(prefix + name, parameter));
            }
        } else {
            Map<String, Integer> counts = new HashMap<>();
            for (Parameter parameter : layer.parameters()) {
                String name = parameter.name(); // it has no dots, so no other name can be like a numbered one
                int earlier = counts.merge(name, 1, Integer::sum) - 1;
                parameters.put(earlier == 0 ? name : name + "." + earlier, parameter);
            }
        }
        return parameters;
    }

    /** {@return the states of the layers, each name with the layer's number in front: {@code 0.weight}} */
    @Override
    public Map<String, Matrix> state() {
        Map<String, Matrix> state = new LinkedHashMap<>();
        for (int i = 0; i < layers.size(); i++) {
            String prefix = i + ".";
            layers.get(i).state().forEach((name, matrix) -> state.put(prefix + name, matrix));
        }
        return Collections.unmodifiableMap(state);
    }

    @Override
    public void restore(Map<String, Matrix> state) {
        Map<String, Matrix> old = state();
        Map<String, Matrix> copy = Checks.requireState(state, old, "Network.restore");
        try {
            restoreLayers(copy);
        } catch (RuntimeException | Error refusal) {
            try {
                restoreLayers(old); // all or nothing: the layers before the one that refused have taken theirs
            } catch (RuntimeException | Error another) {
                if (another != refusal) {
                    refusal.addSuppressed(another);
                }
            }
            throw refusal;
        }
    }

    private void restoreLayers(Map<String, Matrix> state) {
        for (int i = 0; i < layers.size(); i++) {
            Layer layer = layers.get(i);
            String prefix = i + ".";
            Map<String, Matrix> ofLayer = new LinkedHashMap<>();
            layer.state().keySet().forEach(name -> ofLayer.put(name, state.get(prefix + name)));
            try {
                layer.restore(ofLayer);
            } catch (IllegalArgumentException refusal) {
                throw placed(i, "restore", refusal);
            }
        }
    }

    @Override
    public Matrix forward(Matrix x) {
        super.forget(); // an x that is refused leaves the layers their passes
        requireInput(x, Method.FORWARD);
        forget(); // the layers' passes too: their arrays are about to be overwritten
        List<Object> ofLayers = new ArrayList<>(layers.size());
        List<Integer> columns = new ArrayList<>(steps.size() + 1);
        Matrix y = x;
        for (Step step : steps) {
            columns.add(y.columns());
            y = output(step, "forward", Step::forward, y);
            step.layers.forEach(layer -> ofLayers.add(passOf(layer))); // now: a later user's layer may run it again
        }
        columns.add(y.columns());
        remember(new Pass(ofLayers, x.rows(), columns));
        return y;
    }

    @Override
    public Matrix infer(Matrix x) {
        requireInput(x, Method.INFER);
        Matrix y = x;
        for (Step step : steps) {
            y = output(step, "infer", Step::infer, y);
        }
        return y;
    }

    /** Runs a step forward and requires a y with as many rows as x. */
    private Matrix output(Step step, String method, BiFunction<Step, Matrix, Matrix> work, Matrix x) {
        Matrix y = run(step, method, work, x);
        if (y != null && y.rows() == x.rows()) {
            return y;
        }
        String place = place(step.index, method); // formed only for a refusal
        Checks.requireNonNull(y, place, "y");
        throw Checks.refusal(place, "y", Checks.shape(y), x.rows() + "xN");
    }

    /** Runs a step; a refusal gets the step's place in this network in front. */
    private Matrix run(Step step, String method, BiFunction<Step, Matrix, Matrix> work, Matrix matrix) {
        try {
            return work.apply(step, matrix);
        } catch (IllegalArgumentException refusal) {
            throw placed(step.index, method, refusal);
        }
    }

    /** A layer's refusal with the layer's place in this network instead of the layer's own {@code <Type>.<method>}. */
    private IllegalArgumentException placed(int index, String method, IllegalArgumentException refusal) {
        String where = Checks.typeName(layers.get(index)) + "." + method + ": ";
        return Checks.placed(place(index, method), where, Checks.hint(layers, index, method), refusal);
    }

    /**
     * {@inheritDoc}
     *
     * @throws IllegalStateException also if a built-in layer of the network has run another forward pass since
     */
    @Override
    public Matrix backward(Matrix dy) {
        Matrix dyOfFirst = backwardToSecond(dy);
        return steps.isEmpty() ? dyOfFirst : backward(0, dyOfFirst);
    }

    @Override
    public void backwardParameters(Matrix dy) {
        Matrix dyOfFirst = backwardToSecond(dy);
        if (!steps.isEmpty()) {
            try {
                steps.get(0).backwardParameters(dyOfFirst);
            } catch (IllegalArgumentException refusal) {
                throw placed(0, "backward", refusal);
            }
        }
    }

    /** Runs backward through all steps but the first, and returns the dy of the first. */
    private Matrix backwardToSecond(Matrix dy) {
        Pass pass = requireLastPass();
        Checks.requireShape(dy, pass.rows, pass.columns.get(steps.size()), "Network.backward", "dy");
        Matrix dx = dy;
        for (int i = steps.size() - 1; i > 0; i--) {
            dx = backward(i, dx);
        }
        return dx;
    }

    /** Runs a step backward and requires a dx of the shape of its x. */
    private Matrix backward(int i, Matrix dy) {
        Step step = steps.get(i);
        Matrix dx = run(step, "backward", Step::backward, dy);
        if (step.isOfArrays) {
            return dx;
        }
        Pass pass = requireLastPass(); // again: a user's layer may have run another one forward
        int columns = pass.columns.get(i);
        if (dx == null || dx.rows() != pass.rows || dx.columns() != columns) {
            Checks.requireShape(dx, pass.rows, columns, place(step.index, "backward"), "dx");
        }
        return dx;
    }

    /** The last pass, since which no layer may have run another. */
    private Pass requireLastPass() {
        Pass pass = requirePass();
        overtaken().ifPresent(place -> {
            throw new IllegalStateException("Network.backward: " + place
                    + " has run another forward since the network's;"
                    + " call the network's forward(x) before backward(dy)");
        });
        return pass;
    }

    /** The place of a layer that has run another forward since this network's, if there is one. */
    private Optional<String> overtaken() {
        List<Object> ofLayers = requirePass().ofLayers;
        for (int i = 0; i < layers.size(); i++) {
            Layer layer = layers.get(i);
            if (passOf(layer) != ofLayers.get(i)) {
                return Optional.of(Checks.place(i, layer));
            }
            Optional<String> inside = layer instanceof Network nested ? nested.overtaken() : Optional.empty();
            if (inside.isPresent()) {
                return Optional.of(Checks.place(i, layer) + ": " + inside.get());
            }
        }
        return Optional.empty();
    }

    private static Object passOf(Layer layer) {
        return layer instanceof BuiltInLayer<?> builtIn ? builtIn.pass() : layer;
    }

    private String place(int index, String method) {
        return "Network." + method + ": " + Checks.place(index, layers.get(index));
    }

    /**
     * {@return a copy of this network whose affine layers multiply in a precision} The layers of networks inside are
     * copied, too. For a model from a file, before it is trained or served:
     * <pre>{@code
     * Network network = PyTorch.network(Safetensors.read(file)).withPrecision(Precision.SINGLE);
     * }</pre>
     *
     * @param precision the precision of each affine layer; {@link Affine#withPrecision} sets that of one
     * @throws IllegalArgumentException if a layer is of a user's type, for it cannot be copied
     */
    public Network withPrecision(Precision precision) {
        Checks.requireNonNull(precision, "Network.withPrecision", "precision");
        Layer[] copies = new Layer[layers.size()];
        for (int i = 0; i < copies.length; i++) {
            BuiltInLayer<?> layer = requireBuiltIn(i, "withPrecision", "set it for each Affine");
            try {
                copies[i] = layer instanceof Affine affine
                        ? affine.withPrecision(precision)
                        : layer instanceof Network nested ? nested.withPrecision(precision) : layer.copy();
            } catch (IllegalArgumentException refusal) {
                throw placed(i, "withPrecision", refusal);
            }
        }
        return new Network(copies);
    }

    /** A layer that can be copied. */
    private BuiltInLayer<?> requireBuiltIn(int index, String method, String advice) {
        if (layers.get(index) instanceof BuiltInLayer<?> builtIn) {
            return builtIn;
        }
        throw Checks.refusal(
                "Network." + method,
                Checks.place(index, layers.get(index)),
                "of a user's type",
                "Affine, BatchNorm, ReLU or Network, which can be copied; " + advice);
    }

    /**
     * {@return a network for inference, with each batch norm that directly follows an affine layer merged into it} It
     * is a copy: later changes to one network do not affect the other.
     *
     * <p>The affine layer has the coefficients
     * <pre>{@code
     * W' = W·γ/√(σ² + ε)
     * b' = (b − μ)·γ/√(σ² + ε) + β
     * }</pre>
     * All other layers are copied, nested networks as folded ones. A layer of a user's type cannot be copied. Fold the
     * networks before and after it instead, {@code new Network(front.folded(), own, back.folded())}, where own is a
     * second instance of that layer, restored from the state of the first.
     *
     * <p>Numerical behavior: folding saves a pass over the batch and gives up the accuracy of {@link BatchNorm}: y is
     * {@code x·W' + b'}, and digits that cancel between the terms are lost, as in any affine layer. W' and b' are
     * formed in twice the working precision and rounded once. With k inputs, {@code u = 2⁻⁵³} and {@code
     * γₖ = k·u/(1 − k·u)}, the error of an entry of y against the exact batch norm of the exact {@code x·W + b} is at
     * most {@code (γₖ + 3u)·(|x|·|W'| + |b'|) + 2⁻⁹⁹·|β|}, barring overflow and underflow.
     *
     * @throws IllegalArgumentException if a layer is of a user's type; or if, in a batch norm to be merged, {@code σ² +
     *     ε} is 0 or a folded coefficient is NaN or infinite
     */
    public Network folded() {
        List<Layer> folded = new ArrayList<>();
        for (int i = 0; i < layers.size(); i++) {
            BuiltInLayer<?> layer = requireBuiltIn(i, "folded", "fold the networks before and after it");
            Layer next = i + 1 < layers.size() ? layers.get(i + 1) : layer;
            try {
                if (layer instanceof Affine affine && next instanceof BatchNorm norm) {
                    i++;
                    folded.add(norm.mergedInto(affine));
                } else {
                    folded.add(layer.copy());
                }
            } catch (IllegalArgumentException refusal) {
                throw placed(i, "folded", refusal);
            }
        }
        return new Network(folded.toArray(Layer[]::new));
    }

    /** {@return the layers in order} */
    @Override
    public String toString() {
        return layers.stream().map(Layer::toString).collect(Collectors.joining(", ", "Network[", "]"));
    }

    @Override
    int outputColumns(int rows, int columns, Method method) {
        int known = columns;
        for (int i = 0; i < layers.size(); i++) {
            known = outputColumns(i, rows, known, method);
        }
        return known;
    }

    private int outputColumns(int index, int rows, int columns, Method method) {
        try {
            return layers.get(index) instanceof BuiltInLayer<?> layer
                    ? layer.outputColumns(rows, columns, method)
                    : UNKNOWN;
        } catch (IllegalArgumentException refusal) {
            throw placed(index, method.toString(), refusal);
        }
    }

    @Override
    void forget() {
        super.forget();
        for (Layer layer : layers) {
            if (layer instanceof BuiltInLayer<?> builtIn) {
                builtIn.forget();
            }
        }
    }

    @Override
    Layer copy() {
        return folded();
    }
}
