package io.github.backnorm.benchmarks;

import ai.djl.ndarray.NDArray;
import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import io.github.backnorm.Precision;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/** A trained network on one row. */
@State(Scope.Benchmark)
public class Inference {
    private static final int TRAINED_ROWS = 32;

    @Param({"64-100-100-10", "512-512-512-10", "784-1024-1024-10"})
    public String row;

    @Param({"DOUBLE", "SINGLE"})
    public Precision precision;

    private Network model;
    private Matrix x;

    @Setup
    public void setUp() {
        Inputs inputs = new Inputs();
        int[] widths = Inputs.numbers(row);
        model = inputs.network(widths).withPrecision(precision);
        model.forward(inputs.matrix(TRAINED_ROWS, widths[0])); // moves the running statistics off 0 and 1
        x = inputs.matrix(1, widths[0]);
    }

    @Benchmark
    public Matrix backnorm() {
        return model.infer(x);
    }

    @State(Scope.Benchmark)
    public static class Torch {
        @Param({"float64", "float32"})
        public String type;

        private PyTorch torch;
        private PyTorch.Model model;
        private NDArray x;

        @Setup
        public void setUp(Inference inference) {
            torch = new PyTorch(type);
            model = torch.model(inference.model);
            x = torch.tensor(inference.x);
            try (PyTorch.Pass pass = model.infer(x)) {
                Agreement.requireOutput(
                        inference.model, PyTorch.matrix(pass.y()), inference.model.infer(inference.x), torch.u());
            }
        }

        @TearDown
        public void tearDown() {
            torch.close();
        }
    }

    @Benchmark
    public void pyTorch(Torch torch) {
        torch.model.infer(torch.x).close();
    }
}
