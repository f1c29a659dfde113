package io.github.backnorm.examples;

import io.github.backnorm.Affine;
import io.github.backnorm.BatchNorm;
import io.github.backnorm.Loss;
import io.github.backnorm.Matrix;
import io.github.backnorm.Network;
import io.github.backnorm.Optimizer;
import io.github.backnorm.PyTorch;
import io.github.backnorm.ReLU;
import io.github.backnorm.Safetensors;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import java.util.stream.Collectors;

/**
 * Writes what a network has learned to a file, and gives it to another network of the same layers; then the same in
 * PyTorch's layout, of which the other network is made. At last it stops a training run and resumes it from a file.
 */
public final class SaveAndRestore {
    private static final int EPOCHS = 10;

    static Network newNetwork(long seed) {
        Random random = new Random(seed);
        return new Network(new Affine(4, 8, random), new BatchNorm(8), new ReLU(), Affine.outputLayer(8, 2, random));
    }

    static void train(Network network, Optimizer optimizer, int firstEpoch, int lastEpoch) {
        for (int epoch = firstEpoch; epoch <= lastEpoch; epoch++) {
            Random random = new Random(1000 + epoch); // one for each epoch: no generator has to be saved
            optimizer.setRate(0.01 / epoch);
            for (int step = 0; step < 5; step++) {
                Matrix x = Matrix.generate(32, 4, (row, column) -> random.nextDouble());
                Matrix target = Matrix.generate(32, 2, (row, column) -> x.get(row, column) * x.get(row, 3));
                network.backwardParameters(
                        Loss.meanSquaredError(network.forward(x), target).gradient());
                optimizer.step(network.parameters());
            }
        }
    }

    static void save(Path file, Network network, Optimizer optimizer, int epoch) throws IOException {
        Map<String, Matrix> state = new HashMap<>();
        network.state().forEach((name, matrix) -> state.put("network." + name, matrix));
        optimizer.state(network).forEach((name, matrix) -> state.put("optimizer." + name, matrix));
        Safetensors.of(state).withMetadata("epoch", "" + epoch).writeTo(file);
    }

    static int resume(Path file, Network network, Optimizer optimizer) throws IOException {
        Safetensors saved = Safetensors.read(file);
        network.restore(part("network.", saved.state()));
        optimizer.restore(network, part("optimizer.", saved.state()));
        return Integer.parseInt(saved.metadata().get("epoch"));
    }

    /** The matrices whose names begin with the prefix, without it. */
    static Map<String, Matrix> part(String prefix, Map<String, Matrix> state) {
        return state.keySet().stream()
                .filter(name -> name.startsWith(prefix))
                .collect(Collectors.toMap(name -> name.substring(prefix.length()), state::get));
    }

    public static void main(String[] args) throws IOException {
        Random random = new Random(7);
        Matrix x = Matrix.generate(32, 4, (row, column) -> random.nextDouble());
        Network trained = newNetwork(1);
        trained.forward(x); // moves the running statistics, so that they are worth saving
        Path file = Files.createTempFile("network", ".safetensors");

        Safetensors.of(trained.state()).writeTo(file);
        Network served = newNetwork(2);
        served.restore(Safetensors.read(file).state());

        PyTorch.stateDict(trained).writeTo(file);
        Network fromPyTorch = PyTorch.network(Safetensors.read(file));

        System.out.println("same results: " + served.infer(x).equals(trained.infer(x)) + ", "
                + fromPyTorch.infer(x).equals(trained.infer(x)));

        Network whole = newNetwork(3);
        train(whole, Optimizer.adam(0.01), 1, EPOCHS);

        Network stopped = newNetwork(3);
        Optimizer optimizer = Optimizer.adam(0.01);
        train(stopped, optimizer, 1, 4);
        save(file, stopped, optimizer, 4);

        Network resumed = newNetwork(4); // as in another run: nothing but the file is left
        Optimizer another = Optimizer.adam(0.01);
        int epoch = resume(file, resumed, another);
        train(resumed, another, epoch + 1, EPOCHS);

        Files.delete(file);
        System.out.println("resumed after epoch " + epoch + ", same bits: "
                + resumed.state().equals(whole.state()));
    }
}
