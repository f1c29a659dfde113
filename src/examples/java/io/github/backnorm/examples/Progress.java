package io.github.backnorm.examples;

import me.tongfei.progressbar.DelegatingProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import org.jline.terminal.TerminalBuilder;
import org.jline.terminal.spi.SystemStream;

/** Progress bars for those who look on: on standard error if it is a terminal, else none. */
final class Progress {
    private Progress() {}

    static ProgressBar bar(String task, long steps) {
        ProgressBarBuilder bar = ProgressBar.builder().setTaskName(task).setInitialMax(steps);
        // System.console() tells of standard input and output, not of standard error.
        boolean terminal = TerminalBuilder.builder().getProviders(null, new IllegalStateException()).stream()
                .anyMatch(provider -> provider.isSystemStream(SystemStream.Error));
        if (!terminal) {
            bar.setConsumer(new DelegatingProgressBarConsumer(text -> {}));
        }
        return bar.build();
    }
}
