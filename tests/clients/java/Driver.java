import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * Kafka's own Java client performs the exercises that it is told to, and reports each in one line of JSON.
 *
 *     Driver --bootstrap HOST:PORT --prefix P EXERCISE...
 *     Driver --version
 *
 * What differs between versions of the client stands in Library, of which there is one in each of the folders 2 and 4.
 */
public final class Driver {
    private static final int DEADLINE_S = 58;

    private Driver() {
    }

    /** What this client library does not have. */
    static final class Absent extends Exception {
        Absent(String what) {
            super(what);
        }
    }

    private static String perform(Exercises exercises, String name) throws Exception {
        switch (name) {
            case "acks_0":
                return exercises.produce(name, "acks", "0", "enable.idempotence", "false");
            case "acks_1":
                return exercises.produce(name, "acks", "1", "enable.idempotence", "false");
            case "acks_all":
                return exercises.produce(name, "acks", "all", "enable.idempotence", "false");
            case "idempotent":
                return exercises.produce(name, "acks", "all", "enable.idempotence", "true");
            case "codec_none":
            case "codec_gzip":
            case "codec_snappy":
            case "codec_lz4":
            case "codec_zstd":
                return exercises.codec(name, name.substring("codec_".length()));
            case "size_1b":
                return exercises.oneByte(name);
            case "size_20mib":
                return exercises.twentyMib(name);
            case "txn_commit":
                return exercises.commit(name);
            case "txn_abort":
                return exercises.abort(name);
            case "group_classic":
                return new Groups(exercises).rebalance(name);
            case "group_consumer":
                return new Groups(exercises).rebalance(name, Library.groupConsumer());
            case "group_share":
                return Library.share(exercises, name);
            case "admin":
                return new AdminExercise(exercises).run(name);
            case "streams_eos":
                return Library.streams(exercises, name);
            default:
                throw new IllegalArgumentException("no such exercise");
        }
    }

    private static String quoted(String text) {
        StringBuilder out = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            out.append(c == '"' || c == '\\' ? "\\" + c : c < ' ' ? " " : String.valueOf(c));
        }
        return out.append('"').toString();
    }

    private static void report(String exercise, String result, String detail, long begun) {
        System.out.printf("{\"exercise\": \"%s\", \"result\": \"%s\", \"detail\": %s, \"seconds\": %.2f}%n", exercise,
            result, quoted(detail), (System.nanoTime() - begun) / 1e9);
        System.out.flush();
    }

    /** In a thread of its own, so that an exercise that hangs costs only itself. */
    private static void run(Exercises exercises, String name) throws InterruptedException {
        long begun = System.nanoTime();
        FutureTask<String> task = new FutureTask<>(() -> perform(exercises, name));
        Thread thread = new Thread(task, name);
        thread.setDaemon(true);
        thread.start();
        try {
            report(name, "ok", task.get(DEADLINE_S, TimeUnit.SECONDS), begun);
        } catch (TimeoutException late) {
            StackTraceElement[] where = thread.getStackTrace();
            report(name, "failed", "timeout at " + (where.length > 0 ? where[0] : "its end"), begun);
            task.cancel(true);
        } catch (ExecutionException failure) {
            Throwable cause = failure.getCause();
            if (cause instanceof Absent) {
                report(name, "absent", cause.getMessage(), begun);
                return;
            }
            cause.printStackTrace();
            while (cause instanceof ExecutionException) {
                cause = cause.getCause();
            }
            report(name, "failed", cause.toString(), begun);
        }
    }

    public static void main(String[] args) throws Exception {
        if (args.length == 1 && args[0].equals("--version")) {
            System.out.println("kafka-clients " + Library.version());
            return;
        }
        String bootstrap = null, prefix = null;
        List<String> names = new ArrayList<>();
        for (int i = 0; i < args.length; i++) {
            if (args[i].equals("--bootstrap")) {
                bootstrap = args[++i];
            } else if (args[i].equals("--prefix")) {
                prefix = args[++i];
            } else {
                names.add(args[i]);
            }
        }
        Exercises exercises = new Exercises(bootstrap, prefix);
        for (String name : names) {
            run(exercises, name);
        }
        System.exit(0);
    }
}
