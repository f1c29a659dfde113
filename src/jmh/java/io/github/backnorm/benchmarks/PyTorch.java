package io.github.backnorm.benchmarks;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.internal.NDArrayEx;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.JniUtils;
import io.github.backnorm.Affine;
import io.github.backnorm.BatchNorm;
import io.github.backnorm.Layer;
import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import io.github.backnorm.ReLU;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;

/** PyTorch through DJL's engine, in one floating-point type: tensors, and layers with autograd. */
final class PyTorch implements AutoCloseable {
    private final NDManager manager = NDManager.newBaseManager("PyTorch");
    private final DataType type;

    /** The type, by PyTorch's name for it. */
    PyTorch(String type) {
        this.type = DataType.valueOf(type.toUpperCase(Locale.ROOT));
    }

    /** The unit roundoff. */
    double u() {
        return type == DataType.FLOAT64 ? 0x1p-53 : 0x1p-24;
    }

    /** A copy in memory of PyTorch's own, aligned as it likes; what DJL creates lies in a buffer of the JVM's. */
    NDArray tensor(Matrix matrix) {
        try (NDArray borrowed = manager.create(matrix.toArray(), new Shape(matrix.rows(), matrix.columns()));
                NDArray typed = borrowed.toType(type, false)) {
            return typed.duplicate();
        }
    }

    private NDArray vector(Matrix row) {
        return tensor(row).reshape(row.columns());
    }

    static Matrix matrix(NDArray tensor) {
        long[] shape = tensor.getShape().getShape();
        try (NDArray float64 = tensor.toType(DataType.FLOAT64, true)) {
            int columns = (int) shape[shape.length - 1];
            return Matrix.of(shape.length == 1 ? 1 : (int) shape[0], columns, float64.toDoubleArray());
        }
    }

    /** The same layer, with the parameters and running statistics that it has now. */
    Model model(Layer layer) {
        return new Model(layer instanceof Network network ? network.layers() : List.of(layer));
    }

    @Override
    public void close() {
        manager.close();
    }

    /** Layers in a chain, as torch.nn.functional computes them. */
    final class Model {
        private final List<Layer> layers;
        private final List<NDArray> parameters = new ArrayList<>(); // in Backnorm's order
        private final List<NDArray> statistics = new ArrayList<>();

        private Model(List<Layer> layers) {
            this.layers = layers;
            for (Layer layer : layers) {
                if (layer instanceof Affine affine) {
                    parameters.add(tensor(affine.weight().value().transpose()));
                    parameters.add(vector(affine.bias().value()));
                } else if (layer instanceof BatchNorm norm) {
                    parameters.add(vector(norm.gamma().value()));
                    parameters.add(vector(norm.beta().value()));
                    statistics.add(vector(norm.runningMean()));
                    statistics.add(vector(norm.runningVariance()));
                }
            }
        }

        /** A training pass; autograd computes the gradient with respect to x only where that is asked for. */
        Pass forward(NDArray x, boolean xRequiresGradient) {
            JniUtils.setGradMode(true);
            NDManager scope = manager.newSubManager();
            NDArray input = alias(x, scope, xRequiresGradient);
            List<NDArray> leaves = new ArrayList<>();
            for (NDArray parameter : parameters) {
                leaves.add(alias(parameter, scope, true));
            }
            return new Pass(scope, input, leaves, output(input, leaves, true));
        }

        /** An evaluation pass, without autograd. */
        Pass infer(NDArray x) {
            JniUtils.setGradMode(false);
            NDManager scope = manager.newSubManager();
            NDArray input = alias(x, scope, false);
            return new Pass(scope, input, List.of(), output(input, parameters, false));
        }

        private NDArray output(NDArray x, List<NDArray> parameters, boolean training) {
            Iterator<NDArray> p = parameters.iterator();
            Iterator<NDArray> s = statistics.iterator();
            NDArray y = x;
            for (Layer layer : layers) {
                NDArrayEx operations = y.getNDArrayInternal();
                if (layer instanceof Affine) {
                    y = only(operations.linear(y, p.next(), p.next()));
                } else if (layer instanceof BatchNorm norm) {
                    float momentum = (float) (1 - norm.momentum()); // DJL weighs the running statistic, not the batch's
                    float epsilon = (float) norm.epsilon();
                    // Axis −1 is PyTorch's own way; for others DJL swaps axes first.
                    y = only(operations.batchNorm(
                            y, s.next(), s.next(), p.next(), p.next(), -1, momentum, epsilon, training));
                } else if (layer instanceof ReLU) {
                    y = operations.relu();
                } else {
                    throw new IllegalArgumentException(layer.toString());
                }
            }
            return y;
        }

        private static NDArray only(NDList list) {
            return list.singletonOrThrow();
        }

        /**
         * A new leaf of the graph over the same memory. Its gradient begins as none, as after PyTorch's zero_grad, so
         * that backward has nothing to add to; DJL itself can only fill the old gradient with zeros.
         */
        private static NDArray alias(NDArray tensor, NDManager scope, boolean requiresGradient) {
            NDArray alias = tensor.stopGradient();
            alias.attach(scope);
            if (requiresGradient) {
                alias.setRequiresGradient(true);
            }
            return alias;
        }
    }

    /** What a pass has computed; to close is to free all of it. */
    record Pass(NDManager scope, NDArray x, List<NDArray> leaves, NDArray y) implements AutoCloseable {
        void backward(NDArray dy) {
            JniUtils.backward((PtNDArray) y, (PtNDArray) dy, false, false);
        }

        /** The gradient of the mean cross-entropy with respect to y. */
        NDArray softmaxGradient(NDArray target) {
            JniUtils.setGradMode(false);
            return y.softmax(-1).subi(target).divi(y.getShape().get(0));
        }

        /** The gradients with respect to the parameters; PyTorch's weights are Backnorm's transposed. */
        List<Matrix> gradients() {
            return leaves.stream()
                    .map(leaf -> leaf.getShape().dimension() == 1
                            ? gradient(leaf)
                            : gradient(leaf).transpose())
                    .toList();
        }

        Matrix dx() {
            return gradient(x);
        }

        private static Matrix gradient(NDArray leaf) {
            try (NDArray gradient = leaf.getGradient()) {
                return matrix(gradient);
            }
        }

        @Override
        public void close() {
            scope.close();
        }
    }
}
