package io.github.backnorm.benchmarks;

import ai.djl.ndarray.NDArray;
import io.github.backnorm.Layer;
import io.github.backnorm.Matrix;
import io.github.backnorm.Parameter;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/** One layer: forward, or forward and backward with the gradient with respect to x. */
@State(Scope.Benchmark)
public class Layers {
    /** The batch; an affine layer has as many outputs as inputs. */
    @Param({
        "Affine forward 256x512",
        "Affine forward+backward 256x512",
        "Affine forward 1024x1024",
        "Affine forward+backward 1024x1024",
        "BatchNorm forward+backward 256x512",
        "BatchNorm forward+backward 4096x1024",
        "BatchNorm forward+backward 8192x16",
        "BatchNorm forward+backward 65536x2",
        "ReLU forward+backward 256x512",
        "ReLU forward+backward 4096x1024"
    })
    public String row;

    private Layer layer;
    private Matrix x;
    private Matrix dy;
    private boolean backward;

    @Setup
    public void setUp() {
        Inputs inputs = new Inputs();
        String[] words = row.split(" ", -1);
        int[] shape = Inputs.numbers(words[2]);
        layer = inputs.layer(words[0], shape[1]);
        x = inputs.matrix(shape[0], shape[1]);
        dy = inputs.matrix(shape[0], shape[1]);
        backward = words[1].endsWith("backward");
    }

    @Benchmark
    public Matrix backnorm() {
        Matrix y = layer.forward(x);
        return backward ? layer.backward(dy) : y;
    }

    @State(Scope.Benchmark)
    public static class Torch {
        @Param({"float64", "float32"})
        public String type;

        private PyTorch torch;
        private PyTorch.Model model;
        private NDArray x;
        private NDArray dy;

        @Setup
        public void setUp(Layers layers) {
            torch = new PyTorch(type);
            model = torch.model(layers.layer);
            x = torch.tensor(layers.x);
            dy = torch.tensor(layers.dy);
            requireAgreement(layers.layer, layers.x, layers.dy);
        }

        private void requireAgreement(Layer layer, Matrix x, Matrix dy) {
            try (PyTorch.Pass pass = model.forward(this.x, true)) {
                Agreement.requireOutput(layer, PyTorch.matrix(pass.y()), layer.forward(x), torch.u());
                pass.backward(this.dy);
                Agreement.requireOutput(layer, pass.dx(), layer.backward(dy), torch.u());
                Agreement.requireGradients(
                        layer,
                        x.rows(),
                        pass.gradients(),
                        layer.parameters().stream().map(Parameter::gradient).toList(),
                        torch.u());
            }
        }

        @TearDown
        public void tearDown() {
            torch.close();
        }
    }

    @Benchmark
    public void pyTorch(Torch torch) {
        try (PyTorch.Pass pass = torch.model.forward(torch.x, backward)) {
            if (backward) {
                pass.backward(torch.dy);
            }
        }
    }
}
