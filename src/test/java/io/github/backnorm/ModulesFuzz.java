package io.github.backnorm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/** Makes texts that list the modules of {@code sequential.safetensors}, with random mistakes, and reads them. */
final class ModulesFuzz {
    /** Ways to write each module of the file. */
    private static final List<List<String>> MODULES = List.of(
            List.of(
                    "Linear(3, 5, bias=False)",
                    "nn.Linear(in_features=3, out_features=5, bias=False)",
                    "torch::nn::Linear(in_features=3, out_features=5, bias=false)",
                    "torch.nn.modules.linear.Linear()"),
            List.of(
                    "BatchNorm1d(5, eps=0.0001, momentum=0.3, affine=True, track_running_stats=True)",
                    "nn.BatchNorm1d(5, 1e-4, .3)",
                    "SyncBatchNorm(n, eps = 1E-4,\n momentum=3e-1) # as before"),
            List.of("ReLU", "ReLU()", "torch.nn.ReLU(inplace=True)"),
            List.of("Linear(5, 4)", "nn.Linear(5, out_features=4, bias=True).double()"),
            List.of("ReLU()", "nn.ReLU(True) // in C++"),
            List.of("BatchNorm1d(4)", "torch::nn::BatchNorm1d(4, eps=1e-05, momentum=0.1, affine=true)"));

    /** What computes nothing. */
    private static final List<String> SKIPPED =
            List.of("Dropout(p=0.5, inplace=False)", "Identity(1, \"a\", x=[(), {}])", "Flatten(1, -1)");

    /** What a mistake may insert. */
    private static final List<String> PIECES = List.of(
            "(",
            ")",
            "[",
            "{",
            ",",
            ";",
            "=",
            ":",
            "::",
            ".",
            "0",
            "1e999",
            "NaN",
            "-1",
            "9223372036854775808",
            "\n",
            "\r",
            " ",
            "\t",
            "\u0000",
            "\u00e9",
            "\ud800",
            "\u0661",
            "'",
            "\"",
            "#",
            "//",
            "(0): ",
            "True",
            "None",
            "model = ",
            ".eval()",
            ".apply(f)",
            "import torch\n",
            "GELU()",
            "Conv2d(1, 2, 3)",
            "BatchNorm1d(4, momentum=None)",
            "Sequential(",
            "Net(\n  (net): Sequential(",
            "DataParallel((module): ",
            "(".repeat(70));

    private ModulesFuzz() {}

    static Fuzz.Inputs inputs() throws IOException {
        Safetensors file = SafetensorsTest.readReference("sequential.safetensors");
        return (random, description, tally) -> {
            String text = withMistakes(text(random), random);
            if (tally.read(() -> refusal(file, text, description), bound(text), description)
                    .isEmpty()) {
                tally.addAccepted();
            }
        };
    }

    private static <T> T oneOf(List<T> list, Random random) {
        return list.get(random.nextInt(list.size()));
    }

    /** The modules of the file, as somebody may have written them. */
    private static String text(Random random) {
        boolean keys = random.nextBoolean();
        boolean pairs = !keys && random.nextInt(4) == 0;
        List<String> modules = new ArrayList<>();
        for (int i = 0; i < MODULES.size(); i++) {
            String module = oneOf(MODULES.get(i), random);
            modules.add(keys ? "(" + i + "): " + module : pairs ? "(\"" + i + "\", " + module + "\n)" : module);
            if (keys && random.nextInt(8) == 0) {
                modules.add("(skipped" + i + "): " + oneOf(SKIPPED, random));
            }
        }
        String list = String.join(keys ? "\n  " : ",\n  ", modules) + "\n";
        if (pairs) {
            return "from collections import OrderedDict\nnn.Sequential(OrderedDict([" + list + "]))";
        }
        return switch (random.nextInt(4)) {
            case 0 -> list;
            case 1 -> "import torch\nmodel = nn.Sequential(" + list + ").double().eval()";
            case 2 -> keys ? "Sequential(\n  " + list + ")" : "Sequential(*[" + list + "])";
            default -> "torch::nn::Sequential(\n  " + list + ")";
        };
    }

    private static String withMistakes(String text, Random random) {
        String wrong = text;
        for (int mistakes = random.nextInt(4); mistakes > 0; mistakes--) {
            wrong = withMistake(wrong, random);
        }
        return wrong;
    }

    private static String withMistake(String text, Random random) {
        int from = random.nextInt(text.length() + 1);
        int to = Math.min(text.length(), from + random.nextInt(12));
        String before = text.substring(0, from);
        return switch (random.nextInt(5)) {
            case 0 -> before + text.substring(to);
            case 1 -> before + text.substring(from, to) + text.substring(from);
            case 2 -> before + oneOf(PIECES, random) + text.substring(from);
            case 3 -> before + oneOf(PIECES, random) + text.substring(to);
            default -> before + text.substring(Math.min(text.length(), from + 1));
        };
    }

    /** The bytes that {@link PyTorch#network(Safetensors, String)} allows itself, for a file of few small tensors. */
    static long bound(String text) {
        return (1 << 16) + 1024L * text.length();
    }

    /** The message by which the text was refused; empty if it was not. */
    private static String refusal(Safetensors file, String text, String description) {
        try {
            PyTorch.network(file, text);
            return "";
        } catch (IllegalArgumentException refused) {
            assertThat(refused.getMessage()).as(description).startsWith("PyTorch.network: ");
            return refused.getMessage();
        } catch (RuntimeException | Error unexpected) {
            return fail(description, unexpected);
        }
    }
}
