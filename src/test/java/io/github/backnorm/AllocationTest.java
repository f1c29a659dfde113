package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.backnorm.internal.Allocation;
import io.github.backnorm.internal.ChildJvm;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What a training step and an inference leave on the heap. A vector that C2 does not keep in a register is an object of
 * about a hundred bytes for each of some hundred groups of entries; the bounds have no room for one of them.
 */
@Tag("bits")
final class AllocationTest {
    private static final String EXECUTION = System.getProperty("backnorm.test.execution", "plain");
    private static final boolean SCALAR = EXECUTION.equals("plain");

    enum Use {
        TRAINING,
        INFERENCE;

        long most(Steps steps) {
            return this == TRAINING ? mostOfTraining(steps) : mostOfInference(steps);
        }

        void run(Steps steps) {
            if (this == TRAINING) {
                steps.train();
            } else {
                steps.infer();
            }
        }
    }

    /** A network, and what is done with it. */
    static final class Steps {
        static final int INPUTS = 40;
        static final int OUTPUTS = 10;

        private final int batch;
        private final int features;
        private final Network network;
        private final Matrix x;
        private final Matrix dy;

        Steps(int batch, int features, Precision precision) {
            this.batch = batch;
            this.features = features;
            Random random = new Random(1);
            network = new Network(
                            new Affine(INPUTS, features, random),
                            new BatchNorm(features),
                            new ReLU(),
                            new Affine(features, OUTPUTS, random))
                    .withPrecision(precision);
            x = Matrix.generate(batch, INPUTS, (row, column) -> random.nextDouble());
            dy = Matrix.generate(batch, OUTPUTS, (row, column) -> random.nextDouble());
        }

        static Steps small(Precision precision) {
            return new Steps(48, 70, precision);
        }

        /** For these, C2 compiles the tile of products otherwise. */
        static Steps wide(Precision precision) {
            return new Steps(256, 512, precision);
        }

        void train() {
            network.forward(x);
            network.backwardParameters(dy);
        }

        void infer() {
            network.infer(x);
        }

        /**
         * A program without methods of its own, whose loops C2 compiles while they run; prints bytes a step, in
         * training and in inference. It prints the least of ten parts of its run: while C2 compiles a loop once more,
         * which takes long on a busy machine, vectors are objects.
         */
        public static void main(String[] arguments) {
            boolean wide = Boolean.getBoolean("wide");
            Precision precision = Precision.valueOf(System.getProperty("precision"));
            Steps steps = wide ? wide(precision) : small(precision);
            int warm = wide ? 3_000 : 20_000;
            int part = 50;
            long start = 0;
            long least = Long.MAX_VALUE;
            for (int i = 0; i <= warm + 10 * part; i++) {
                if (i >= warm && i % part == 0) {
                    long end = Allocation.now();
                    least = i > warm ? Math.min(least, end - start) : least;
                    start = end;
                }
                steps.network.forward(steps.x);
                steps.network.backwardParameters(steps.dy);
            }
            System.out.println(least / part);
            least = Long.MAX_VALUE;
            for (int i = 0; i <= warm + 10 * part; i++) {
                if (i >= warm && i % part == 0) {
                    long end = Allocation.now();
                    least = i > warm ? Math.min(least, end - start) : least;
                    start = end;
                }
                steps.network.infer(steps.x);
            }
            System.out.println(least / part);
        }
    }

    /** The arrays that a step gives to its user, and those that the layers work in. */
    private static long mostOfTraining(Steps steps) {
        long results = bytes(steps.batch, Steps.OUTPUTS) // y
                + bytes(1, steps.features + Steps.OUTPUTS) // db, of both; dW is written over the one before
                + bytes(4, steps.features); // dγ, dβ, running statistics
        long work = bytes(1, steps.features + Steps.OUTPUTS); // low words of db
        return results
                + work
                + ofCopies(14 * ((steps.batch + 31) / 32) + 19, steps) // 14 for each block of rows
                + ofObjects(4)
                + ofProduct(Steps.INPUTS, steps.features)
                + ofProduct(steps.features, Steps.OUTPUTS)
                + ofProduct(steps.batch, steps.features)
                + ofProduct(steps.batch, steps.features) // of the last layer's dW, which is formed transposed
                + bytes(Steps.OUTPUTS, steps.features)
                + ofProduct(Steps.OUTPUTS, steps.features);
    }

    /** Every layer's y; batch norm and ReLU run as one. */
    private static long mostOfInference(Steps steps) {
        return bytes(2 * steps.batch, steps.features)
                + bytes(steps.batch, Steps.OUTPUTS)
                + ofCopies(8 * ((steps.batch + 15) / 16), steps) // 8 a block of rows
                + ofObjects(3)
                + ofProduct(Steps.INPUTS, steps.features)
                + ofProduct(steps.features, Steps.OUTPUTS);
    }

    private static long bytes(int rows, int columns) {
        return (long) Double.BYTES * rows * columns;
    }

    /** Matrices, records, headers of arrays, the last columns of sums apart. */
    private static long ofObjects(int layers) {
        return 2048L * layers;
    }

    /** The scalar kernels of batch norm copy words of the columns to arrays of whole cache lines, and work in such. */
    private static long ofCopies(int rows, Steps steps) {
        return SCALAR ? bytes(rows, (steps.features + 1) / 8 * 8 + 8) : 0;
    }

    /**
     * What a scalar product of inner size k and n columns works in: four rows, and up to 64 of B, of whole cache lines.
     */
    private static long ofProduct(int k, int n) {
        return SCALAR ? bytes(4 + Math.min(64, k), (n + 1) / 8 * 8 + 8) : 0;
    }

    @ParameterizedTest
    @CsvSource({"TRAINING, DOUBLE", "INFERENCE, DOUBLE", "TRAINING, SINGLE", "INFERENCE, SINGLE"})
    void step_compiled_allocatesItsArraysOnly(Use use, Precision precision) {
        Steps steps = Steps.small(precision);
        long most = use.most(steps);
        assertThat(Allocation.ofCompiled(() -> use.run(steps), most))
                .as("bytes of %s, %s", use, precision)
                .isLessThanOrEqualTo(most);
    }

    /** dx would be as large as the batch. */
    @Test
    void backwardParameters_batchNormAndReluFirst_makesNoDx() {
        Random random = new Random(1);
        Network network = new Network(new BatchNorm(512), new ReLU(), new Affine(512, 1, random));
        network.forward(Matrix.generate(256, 512, (row, column) -> random.nextDouble()));
        Matrix dy = Matrix.filled(256, 1, 1);
        long batch = bytes(256, 512);
        assertThat(Allocation.ofCompiled(() -> network.backwardParameters(dy), batch - 1))
                .as("bytes")
                .isLessThan(batch);
    }

    /** The programs of both precisions run side by side, for they take long. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void step_inLoopOfMain_allocatesItsArraysOnly(boolean wide) {
        Map<Precision, CompletableFuture<List<Long>>> bytes = new EnumMap<>(Precision.class);
        for (Precision precision : Precision.values()) {
            bytes.put(precision, CompletableFuture.supplyAsync(() -> bytesOfMain(wide, precision)));
        }
        bytes.forEach((precision, uses) -> {
            Steps steps = wide ? Steps.wide(precision) : Steps.small(precision);
            List<Long> printed = uses.join();
            assertThat(printed).as("lines in %s", precision).hasSize(2);
            assertThat(printed.get(0))
                    .as("bytes of a training step in %s", precision)
                    .isLessThanOrEqualTo(Use.TRAINING.most(steps));
            assertThat(printed.get(1))
                    .as("bytes of an inference in %s", precision)
                    .isLessThanOrEqualTo(Use.INFERENCE.most(steps));
        });
    }

    private static List<Long> bytesOfMain(boolean wide, Precision precision) {
        List<String> options = new ArrayList<>(List.of(ChildJvm.optionsOfThisJvm()));
        options.addAll(List.of("-Dwide=" + wide, "-Dprecision=" + precision, "-Dbacknorm.threads=1"));
        return ChildJvm.run(Steps.class, options.toArray(String[]::new)).lines().stream()
                .map(Long::valueOf)
                .toList();
    }
}
