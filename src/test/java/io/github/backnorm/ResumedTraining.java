package io.github.backnorm;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Random;
import java.util.stream.Collectors;

/** A training run that stops at a checkpoint; the main method goes on from there and writes the end over it. */
final class ResumedTraining {
    /** Property with the file. */
    static final String FILE = "backnorm.test.checkpoint";

    /** More than two flushes of memory. */
    static final int STEPS = 150;

    private static final String NETWORK = "network.";
    private static final String OPTIMIZER = "optimizer.";

    private final Network network;
    private final Optimizer optimizer = Optimizer.adam(0.01).withWeightDecay(0.1);

    ResumedTraining(long seed) {
        Random random = new Random(seed);
        network = new Network(
                new Affine(3, 7, random),
                new Network(new BatchNorm(7), new ReLU(), new Affine(7, 2, random)),
                new Scale(Matrix.filled(1, 2, 1)));
    }

    void train(int from, int to) {
        for (int step = from; step < to; step++) {
            optimizer.setRate(0.01 / (1 + step));
            Matrix x = Matrices.uniform(9, 3, step);
            network.backwardParameters(Loss.meanSquaredError(network.forward(x), Matrices.uniform(9, 2, step + STEPS))
                    .gradient());
            optimizer.step(network.parameters());
        }
    }

    Safetensors checkpoint(int step) {
        Map<String, Matrix> state = network.state().entrySet().stream()
                .collect(Collectors.toMap(entry -> NETWORK + entry.getKey(), Map.Entry::getValue));
        optimizer.state(network).forEach((name, matrix) -> state.put(OPTIMIZER + name, matrix));
        return Safetensors.of(state).withMetadata("step", String.valueOf(step));
    }

    /** Takes a checkpoint over and returns its step. */
    int resume(Safetensors checkpoint) {
        network.restore(part(checkpoint, NETWORK));
        optimizer.restore(network, part(checkpoint, OPTIMIZER));
        return Integer.parseInt(checkpoint.metadata().get("step"));
    }

    private static Map<String, Matrix> part(Safetensors checkpoint, String prefix) {
        return checkpoint.state().entrySet().stream()
                .filter(entry -> entry.getKey().startsWith(prefix))
                .collect(Collectors.toMap(entry -> entry.getKey().substring(prefix.length()), Map.Entry::getValue));
    }

    public static void main(String[] args) throws IOException {
        Path file = Path.of(System.getProperty(FILE));
        ResumedTraining training = new ResumedTraining(2);
        training.train(training.resume(Safetensors.read(file)), STEPS);
        training.checkpoint(STEPS).writeTo(file);
    }
}
