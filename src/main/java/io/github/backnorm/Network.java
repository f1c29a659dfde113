package io.github.backnorm;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import java.util.stream.Collectors;

/**
 * Layers one after the other: {@code y = layerₙ(… layer₁(layer₀(x)))}. A network is itself a layer; without layers it
 * is the identity.
 *
 * <p>{@link #forward} and {@link #infer} run the layers from the first to the last, {@link #backward} from the last
 * to the first: the chain rule, each layer's dx being the dy of the one before.
 *
 * <p>Shapes are checked along the chain before anything runs, as far as the layers are built in. When a layer refuses
 * a batch for another reason (a NaN, say), the layers before it have taken the batch in: their running statistics
 * have moved.
 *
 * <p>Layers count from 0, in messages as in {@link #state}. A layer or parameter object occurs at most once in a
 * network, nested networks included.
 *
 * <p>Threads: as {@link Layer} says. One {@code infer} while another thread trains may see parameters of different
 * steps; to serve one consistent model, {@link #restore} a copy and serve that.
 */
public final class Network extends BuiltInLayer implements Layer {
    private final List<Layer> layers;
    private Pass pass;

    /**
     * What backward needs: the layers' own passes (null for a user's layer), and the shapes of their inputs and of y.
     */
    private record Pass(List<Object> ofLayers, int rows, List<Integer> columns) {}

    /**
     * Makes a network of the given layers.
     *
     * @param layers the layers, first to last
     * @throws IllegalArgumentException if a layer or parameter object occurs twice, or two parameters of a layer have
     *     one name
     */
    public Network(Layer... layers) {
        Checks.requireNonNull(layers, "Network.new", "layers");
        for (int i = 0; i < layers.length; i++) {
            Checks.requireNonNull(layers[i], "Network.new", "layer " + i);
        }
        this.layers = List.of(layers);
        requireDistinct(Collections.newSetFromMap(new IdentityHashMap<>()));
    }

    private void requireDistinct(Set<Object> seen) {
        for (int i = 0; i < layers.size(); i++) {
            Layer layer = layers.get(i);
            if (!seen.add(layer)) {
                throw Checks.occursTwice(Checks.place(i, layer));
            }
            if (layer instanceof Network nested) {
                nested.requireDistinct(seen);
                continue;
            }
            Set<String> names = new HashSet<>();
            for (Parameter parameter : layer.parameters()) {
                String what = "parameter " + parameter.name() + " of " + Checks.place(i, layer);
                if (!seen.add(parameter) || !names.add(parameter.name())) {
                    throw Checks.occursTwice(what);
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
                restoreLayers(old); // all or nothing: a layer may refuse a value when those before it have taken theirs
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
            at(i, "restore", () -> {
                layer.restore(ofLayer);
                return null;
            });
        }
    }

    @Override
    public Matrix forward(Matrix x) {
        pass = null;
        outputColumns(x, "forward");
        Matrix y = x;
        List<Object> passes = new ArrayList<>();
        List<Integer> columns = new ArrayList<>(List.of(x.columns()));
        for (int i = 0; i < layers.size(); i++) {
            Layer layer = layers.get(i);
            Matrix input = y;
            y = outputOf(i, "forward", input, () -> layer.forward(input));
            passes.add(passOf(layer));
            columns.add(y.columns());
        }
        pass = new Pass(passes, y.rows(), columns);
        return y;
    }

    @Override
    public Matrix infer(Matrix x) {
        outputColumns(x, "infer");
        Matrix y = x;
        for (int i = 0; i < layers.size(); i++) {
            Layer layer = layers.get(i);
            Matrix input = y;
            y = outputOf(i, "infer", input, () -> layer.infer(input));
        }
        return y;
    }

    /**
     * {@inheritDoc}
     *
     * @throws IllegalStateException also if a built-in layer of the network has run another forward pass since
     */
    @Override
    public Matrix backward(Matrix dy) {
        Matrix dyOfFirst = backwardToFirst(dy);
        return layers.isEmpty() ? dyOfFirst : backwardOf(0, dyOfFirst);
    }

    @Override
    public void backwardParameters(Matrix dy) {
        Matrix dyOfFirst = backwardToFirst(dy);
        if (!layers.isEmpty()) {
            at(0, "backward", () -> {
                layers.get(0).backwardParameters(dyOfFirst);
                return null;
            });
        }
    }

    /** Runs backward of all layers but the first, and returns the first one's dy. */
    private Matrix backwardToFirst(Matrix dy) {
        Pass pass = requirePass("");
        Checks.requireShape(dy, pass.rows, pass.columns.get(layers.size()), "Network.backward", "dy");
        Matrix gradient = dy;
        for (int i = layers.size() - 1; i > 0; i--) {
            gradient = backwardOf(i, gradient);
        }
        return gradient;
    }

    /** The dx of a layer, which has the shape of its x. */
    private Matrix backwardOf(int index, Matrix dy) {
        Matrix dx = at(index, "backward", () -> layers.get(index).backward(dy));
        if (dx == null || dx.rows() != pass.rows || dx.columns() != pass.columns.get(index)) {
            Checks.requireShape(dx, pass.rows, pass.columns.get(index), place(index, "backward"), "dx");
        }
        return dx;
    }

    /** The last pass, if every built-in layer still remembers its part of it; outer is where this network stands. */
    private Pass requirePass(String outer) {
        Pass pass = Checks.requirePass(this.pass, "Network");
        for (int i = 0; i < layers.size(); i++) {
            Layer layer = layers.get(i);
            String place = outer + Checks.place(i, layer);
            if (passOf(layer) != pass.ofLayers.get(i)) {
                throw Checks.overtaken(place);
            }
            if (layer instanceof Network nested) {
                nested.requirePass(place + ": ");
            }
        }
        return pass;
    }

    private static Object passOf(Layer layer) {
        return layer instanceof BuiltInLayer builtIn ? builtIn.pass() : null;
    }

    /** The y of a layer, which has a row for each row of its x. */
    private Matrix outputOf(int index, String method, Matrix x, Supplier<Matrix> step) {
        Matrix y = at(index, method, step);
        if (y == null || y.rows() != x.rows()) {
            String place = place(index, method);
            throw Checks.refusal(place, "y", Checks.shape(Checks.requireNonNull(y, place, "y")), x.rows() + "xN");
        }
        return y;
    }

    /** Lets a layer work; its refusal is told with its place in this network. */
    private <T> T at(int index, String method, Supplier<T> step) {
        try {
            return step.get();
        } catch (IllegalArgumentException refusal) {
            throw Checks.inLayer(layers.get(index), place(index, method), method, refusal);
        }
    }

    private String place(int index, String method) {
        return "Network." + method + ": " + Checks.place(index, layers.get(index));
    }

    /** {@return the layers in order} */
    @Override
    public String toString() {
        return layers.stream().map(Layer::toString).collect(Collectors.joining(", ", "Network[", "]"));
    }

    @Override
    int outputColumns(int rows, int columns, String method) {
        int known = columns;
        for (int i = 0; i < layers.size() && known != UNKNOWN; i++) {
            int input = known;
            known = layers.get(i) instanceof BuiltInLayer layer
                    ? at(i, method, () -> layer.outputColumns(rows, input, method))
                    : UNKNOWN;
        }
        return known;
    }

    @Override
    Object pass() {
        return pass;
    }
}
