package io.github.backnorm;

import io.github.backnorm.internal.Normalization;
import java.util.ArrayList;
import java.util.Collections;
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
 * <p>Shapes are checked along the chain before anything runs, up to the first layer that is not built in. When a layer
 * refuses a batch later (for its shape, behind such a layer, or for a NaN, say), the layers before it have already processed the batch: their running
 * statistics have moved.
 *
 * <p>Layers count from 0, in messages as in {@link #state}. A layer or parameter object occurs at most once in a
 * network, nested networks included.
 *
 * <p>Memory: the last training pass, with the intermediate results and gradients between the layers, is kept until the
 * next one. A {@link #folded} copy that only infers keeps none.
 *
 * <p>Threads: as {@link Layer} says. One {@code infer} while another thread trains may see parameters of different
 * steps; to serve one consistent model, serve a {@link #folded} one, or {@link #restore} a copy and serve that. Either is
 * to be made between two steps, by the thread that trains.
 */
public final class Network extends BuiltInLayer implements Layer {
    private final List<Layer> layers;
    /** Arrays of the last forward pass, which its layers' passes refer to and the next pass overwrites. */
    private final double[][] outputs;
    /** Arrays of the last backward pass, which the next one overwrites. */
    private final double[][] gradients;

    private Pass pass;

    /**
     * What backward needs: the layers' own passes (null for a user's layer), and the shapes of their inputs and of y.
     */
    private record Pass(List<Object> ofLayers, int rows, List<Integer> columns) {}

    /**
     * Makes a network of the given layers.
     *
     * @param layers the layers, first to last
     * @throws IllegalArgumentException if a layer or parameter object occurs twice
     * @throws IllegalStateException if {@link #state} of a layer fails because two of its parameters have the same name
     */
    public Network(Layer... layers) {
        Checks.requireNonNull(layers, "Network.new", "layers");
        for (int i = 0; i < layers.length; i++) {
            Checks.requireNonNull(layers[i], "Network.new", "layer " + i);
        }
        this.layers = List.of(layers);
        this.outputs = new double[layers.length][];
        this.gradients = new double[layers.length][];
        requireDistinct(Collections.newSetFromMap(new IdentityHashMap<>()), "Network.new");
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
            layer.state(); // refused now, and not when it is to be saved, where names are not distinct
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
        forget(); // the layers' passes too: they refer to arrays that are now written anew
        Matrix y = x;
        List<Integer> columns = new ArrayList<>(List.of(x.columns()));
        List<Object> passes = new ArrayList<>();
        for (int i = 0; i < layers.size(); i++) {
            Matrix input = y;
            if (isFollowedByRelu(i)) {
                BatchNorm norm = (BatchNorm) layers.get(i);
                int width = at(i, "forward", () -> norm.outputColumns(input, "forward"));
                double[] array = between(outputs, i + 1, input.rows(), width);
                y = at(i, "forward", () -> norm.forward(input, true, array));
                columns.add(y.columns());
                passes.add(norm.pass());
                i++;
                ((ReLU) layers.get(i)).remember(y);
            } else {
                y = forward(i, input);
            }
            columns.add(y.columns());
            passes.add(passOf(layers.get(i))); // now: a user's layer may run it again
        }
        pass = new Pass(passes, y.rows(), columns);
        return y;
    }

    private Matrix forward(int index, Matrix x) {
        Layer layer = layers.get(index);
        if (layer instanceof ArrayLayer arrayLayer) {
            int columns = at(index, "forward", () -> arrayLayer.outputColumns(x, "forward"));
            double[] array = between(outputs, index, x.rows(), columns);
            return at(index, "forward", () -> arrayLayer.forward(x, array));
        }
        return outputOf(index, "forward", x, () -> layer.forward(x));
    }

    /** Whether the layer is a batch norm with a ReLU after it, which run as one. */
    private boolean isFollowedByRelu(int index) {
        return index + 1 < layers.size()
                && layers.get(index) instanceof BatchNorm
                && layers.get(index + 1) instanceof ReLU;
    }

    /** Whether there are a layer and a next one, and nobody but these two sees what passes between them. */
    private boolean isBetween(int index) {
        return index >= 0
                && index + 1 < layers.size()
                && layers.get(index) instanceof ArrayLayer
                && layers.get(index + 1) instanceof ArrayLayer;
    }

    /**
     * An array of the network's own for what passes between a layer and the next, whose size the layer has checked; null
     * if anyone but two array layers could see it.
     */
    private double[] between(double[][] arrays, int index, int rows, int columns) {
        if (!isBetween(index)) {
            return null;
        }
        int length = rows * columns;
        if (arrays[index] == null || arrays[index].length != length) {
            arrays[index] = null; // not both at a time
            arrays[index] = new double[length];
        }
        return arrays[index];
    }

    @Override
    public Matrix infer(Matrix x) {
        outputColumns(x, "infer");
        Matrix y = x;
        for (int i = 0; i < layers.size(); i++) {
            Layer layer = layers.get(i);
            Matrix input = y;
            if (isFollowedByRelu(i)) {
                y = at(i, "infer", () -> ((BatchNorm) layer).infer(input, true));
                i++;
            } else {
                y = outputOf(i, "infer", input, () -> layer.infer(input));
            }
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
        return backward(dy, true);
    }

    @Override
    public void backwardParameters(Matrix dy) {
        backward(dy, false);
    }

    /**
     * Runs backward of all layers; of the first one only backwardParameters where dx is not wanted, unless it is a batch
     * norm that runs as one with a ReLU.
     */
    private Matrix backward(Matrix dy, boolean dxWanted) {
        Pass pass = requirePass("");
        Checks.requireShape(dy, pass.rows, pass.columns.get(layers.size()), "Network.backward", "dy");
        Matrix dx = dy;
        for (int i = layers.size() - 1; i >= 0; i--) {
            Matrix gradient = dx;
            if (i > 0 && isFollowedByRelu(i - 1)) {
                ReLU relu = (ReLU) layers.get(i);
                BatchNorm norm = (BatchNorm) layers.get(i - 1);
                // The masked gradient overwrites the incoming one, and dx the masked one, if nobody else sees them.
                double[] masked = between(gradients, i, pass.rows, norm.features());
                i--;
                double[] array = masked != null && isBetween(i - 1) && Normalization.worksInPlace(norm.features())
                        ? masked
                        : between(gradients, i - 1, pass.rows, norm.features());
                dx = at(i, "backward", () -> norm.backward(gradient, relu.output(gradient), masked, array));
            } else if (i > 0 || dxWanted) {
                dx = backwardOf(i, gradient);
            } else {
                at(0, "backward", () -> {
                    layers.get(0).backwardParameters(gradient);
                    return null;
                });
            }
        }
        return dx;
    }

    /** The dx of a layer, which has the shape of its x. */
    private Matrix backwardOf(int index, Matrix dy) {
        Layer layer = layers.get(index);
        int columns = pass.columns.get(index);
        if (layer instanceof ArrayLayer arrayLayer) {
            double[] array = between(gradients, index - 1, pass.rows, columns);
            return at(index, "backward", () -> arrayLayer.backward(dy, array));
        }
        Matrix dx = at(index, "backward", () -> layer.backward(dy));
        requirePass(""); // a user's layer may have run others again
        if (dx == null || dx.rows() != pass.rows || dx.columns() != columns) {
            Checks.requireShape(dx, pass.rows, columns, place(index, "backward"), "dx");
        }
        return dx;
    }

    /** The last pass, if every built-in layer still remembers its part of it; outer is where this network stands. */
    private Pass requirePass(String outer) {
        Pass pass = Checks.requirePass(this.pass, "Network");
        for (int i = 0; i < layers.size(); i++) {
            Layer layer = layers.get(i);
            if (passOf(layer) != pass.ofLayers.get(i)) {
                throw Checks.overtaken(outer + Checks.place(i, layer));
            }
            if (layer instanceof Network nested) {
                nested.requirePass(outer + Checks.place(i, layer) + ": ");
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

    /**
     * {@return a network for inference in which each batch norm that directly follows an affine layer is merged into it}
     * It is a copy as of now: what is done to this network later, or to the copy, changes nothing in the other.
     *
     * <p>The affine layer has the coefficients
     * <pre>{@code
     * W' = W·γ/√(σ² + ε)
     * b' = (b − μ)·γ/√(σ² + ε) + β
     * }</pre>
     * All other layers are copied, nested networks as folded ones. A layer of a user's type cannot be copied; then fold
     * the networks around it, {@code new Network(front.folded(), own, back.folded())}, where own is a second instance
     * of that layer, restored from the state of the first.
     *
     * <p>Numerical behavior: folding saves a pass over the batch and gives up the promise that a batch norm is exact
     * given what it receives: y is {@code x·W' + b'}, and what cancels between the terms is lost, as in any affine
     * layer. W' and b' are formed in twice the working precision and rounded once. With k inputs, {@code u = 2⁻⁵³} and
     * {@code γₖ = k·u/(1 − k·u)}, the error of an entry of y against the exact batch norm of the exact {@code x·W + b}
     * is at most {@code (γₖ + 3u)·(|x|·|W'| + |b'|) + 2⁻⁹⁹·|β|}, barring overflow and underflow.
     *
     * @throws IllegalArgumentException if a layer is of a user's type; or if, in a batch norm to be merged, {@code σ² +
     *     ε} is 0, the number of columns is not that of the affine layer's outputs, or a folded coefficient is NaN or
     *     infinite
     */
    public Network folded() {
        List<Layer> folded = new ArrayList<>();
        for (int i = 0; i < layers.size(); i++) {
            Layer layer = layers.get(i);
            Layer next = i + 1 < layers.size() ? layers.get(i + 1) : null;
            if (layer instanceof Affine affine && next instanceof BatchNorm norm) {
                i++;
                folded.add(at(i, "folded", () -> norm.mergedInto(affine)));
            } else if (layer instanceof BuiltInLayer builtIn) {
                folded.add(at(i, "folded", builtIn::copy));
            } else {
                throw Checks.notCopied(Checks.place(i, layer));
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

    @Override
    void forget() {
        pass = null;
        for (Layer layer : layers) {
            if (layer instanceof BuiltInLayer builtIn) {
                builtIn.forget();
            }
        }
    }

    @Override
    Layer copy() {
        return folded();
    }
}
