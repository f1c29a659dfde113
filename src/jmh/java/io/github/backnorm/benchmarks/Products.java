package io.github.backnorm.benchmarks;

import ai.djl.ndarray.NDArray;
import io.github.backnorm.Affine;
import io.github.backnorm.Matrix;
import io.github.backnorm.Precision;
import org.ejml.data.DMatrixRMaj;
import org.ejml.dense.row.CommonOps_DDRM;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/** C (m×n) = A (m×k)·B (k×n). */
@State(Scope.Benchmark)
public class Products {
    /** m, k and n: squares, squares that fit no tile, few rows, and few columns. */
    @Param({
        "256x256x256",
        "512x512x512",
        "1024x1024x1024",
        "127x127x127",
        "130x130x130",
        "257x257x257",
        "1000x1000x1000",
        "1x512x512",
        "8x512x512",
        "32x784x1024",
        "1024x1024x10",
        "4096x64x1",
        "4096x64x10"
    })
    public String row;

    @Param({"DOUBLE", "SINGLE"})
    public Precision precision;

    private Matrix a;
    private Matrix b;
    private Affine layer;

    @Setup
    public void setUp() {
        Inputs inputs = new Inputs();
        int[] mkn = Inputs.numbers(row);
        a = inputs.matrix(mkn[0], mkn[1]);
        b = inputs.matrix(mkn[1], mkn[2]);
        layer = new Affine(b, Matrix.zeros(1, mkn[2])).withoutBias().withPrecision(precision);
    }

    /** The number of multiplications and additions. */
    static double operations(String mkn) {
        double operations = 2;
        for (int size : Inputs.numbers(mkn)) {
            operations *= size;
        }
        return operations;
    }

    @Benchmark
    public Matrix backnorm() {
        return layer.infer(a);
    }

    @State(Scope.Benchmark)
    public static class Ejml {
        private DMatrixRMaj a;
        private DMatrixRMaj b;

        @Setup
        public void setUp(Products products) {
            a = ejml(products.a);
            b = ejml(products.b);
            DMatrixRMaj c = product();
            Agreement.requireProduct(
                    products.a, products.b, Matrix.of(c.getNumRows(), c.getNumCols(), c.getData()), 0x1p-53);
        }

        private static DMatrixRMaj ejml(Matrix matrix) {
            return new DMatrixRMaj(matrix.rows(), matrix.columns(), true, matrix.toArray());
        }

        private DMatrixRMaj product() {
            return CommonOps_DDRM.mult(a, b, null);
        }
    }

    @Benchmark
    public DMatrixRMaj ejml(Ejml ejml) {
        return ejml.product();
    }

    @State(Scope.Benchmark)
    public static class Torch {
        @Param({"float64", "float32"})
        public String type;

        private PyTorch torch;
        private NDArray a;
        private NDArray b;

        @Setup
        public void setUp(Products products) {
            torch = new PyTorch(type);
            a = torch.tensor(products.a);
            b = torch.tensor(products.b);
            try (NDArray c = a.matMul(b)) {
                Agreement.requireProduct(products.a, products.b, PyTorch.matrix(c), torch.u());
            }
        }

        @TearDown
        public void tearDown() {
            torch.close();
        }
    }

    @Benchmark
    public void pyTorch(Torch torch) {
        torch.a.matMul(torch.b).close();
    }
}
