package io.github.backnorm;

import java.util.List;
import java.util.Map;

/** A user's layer that does what another one does. */
class DelegatingLayer implements Layer {
    private final Layer layer;

    DelegatingLayer(Layer layer) {
        this.layer = layer;
    }

    @Override
    public Matrix forward(Matrix x) {
        return layer.forward(x);
    }

    @Override
    public Matrix backward(Matrix dy) {
        return layer.backward(dy);
    }

    @Override
    public Matrix infer(Matrix x) {
        return layer.infer(x);
    }

    @Override
    public List<Parameter> parameters() {
        return layer.parameters();
    }

    @Override
    public Map<String, Matrix> state() {
        return layer.state();
    }

    @Override
    public void restore(Map<String, Matrix> state) {
        layer.restore(state);
    }
}
