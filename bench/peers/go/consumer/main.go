// The consumer: writes one row for each message, commits it, and acknowledges the message.
//
// Without a module, Go would behave as in 2023, for example in net/http.
//
//go:debug default=go1.27
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	amqp "github.com/rabbitmq/amqp091-go"
)

// A batch takes what arrives in this time.
const linger = 5 * time.Millisecond

// `arguments` below is in the order of these columns.
const insert = `
	INSERT INTO contacts (id, version, stamp, created_by, created_at, updated_at, name, phone, ddd, email, name_key)
	VALUES ($1, $2, 0, $2, $3, $3, $4, $5, $6, $7, $8)
	ON CONFLICT (id) DO NOTHING`

func env(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	if fallback == "" {
		log.Printf("%s is not set", name)
		os.Exit(2)
	}
	return fallback
}

func number(name, fallback string) int {
	value, err := strconv.Atoi(env(name, fallback))
	if err != nil || value < 1 {
		log.Fatalf("%s must be a positive number", name)
	}
	return value
}

type command struct {
	OperationID uuid.UUID `json:"operation_id"`
	ContactID   uuid.UUID `json:"contact_id"`
	AcceptedAt  time.Time `json:"accepted_at"`
	Contact     struct {
		Name  string  `json:"name"`
		Phone string  `json:"phone"`
		Email *string `json:"email"`
	} `json:"contact"`
}

// +5511987654321: the area code follows the country code.
var phone = regexp.MustCompile(`^\+55([0-9]{2})[0-9]{8,9}$`)

func arguments(body []byte) ([]any, error) {
	var c command
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, err
	}
	parts := phone.FindStringSubmatch(c.Contact.Phone)
	if parts == nil {
		return nil, errors.New("the phone number is wrong")
	}
	ddd, err := strconv.Atoi(parts[1])
	if err != nil {
		return nil, err
	}
	name := c.Contact.Name
	return []any{c.ContactID, c.OperationID, c.AcceptedAt, name, parts[0], ddd, c.Contact.Email, strings.ToLower(name)}, nil
}

// worker has a channel and a consumer of its own, because goroutines must not share a channel.
type worker struct {
	channel    *amqp.Channel
	deliveries <-chan amqp.Delivery
	pool       *pgxpool.Pool
	batch      int
}

func newWorker(connection *amqp.Connection, pool *pgxpool.Pool, queue, tag string, prefetch int) (*worker, error) {
	channel, err := connection.Channel()
	if err != nil {
		return nil, err
	}
	if err := channel.Qos(prefetch, 0, false); err != nil {
		return nil, err
	}
	deliveries, err := channel.Consume(queue, tag, false, false, false, false, nil)
	if err != nil {
		return nil, err
	}
	// While the database writes one half of the messages, the broker sends the other half.
	return &worker{channel, deliveries, pool, max(1, prefetch/2)}, nil
}

type row struct {
	delivery  amqp.Delivery
	arguments []any
}

// run handles messages until `stop`. Then it finishes those that the broker has already sent.
func (w *worker) run(stop context.Context, tag string) error {
	rows := make([]row, 0, w.batch)
	timer := time.NewTimer(linger)
	timer.Stop()
	stopped := stop.Done()
	for {
		full := false
		select {
		case <-stopped:
			stopped = nil
			if err := w.channel.Cancel(tag, false); err != nil {
				return err
			}
			continue
		case <-timer.C:
			full = true
		case delivery, open := <-w.deliveries:
			if !open {
				if stopped != nil {
					return errors.New("connection to the broker lost, or the queue was deleted")
				}
				return w.handle(rows)
			}
			values, err := arguments(delivery.Body)
			if err != nil {
				log.Printf("rejected: %v", err)
				if err := delivery.Reject(false); err != nil {
					return err
				}
				continue
			}
			if len(rows) == 0 {
				timer.Reset(linger)
			}
			rows = append(rows, row{delivery, values})
			full = len(rows) == w.batch
		}
		if full {
			timer.Stop()
			if err := w.handle(rows); err != nil {
				return err
			}
			rows = rows[:0]
		}
	}
}

// handle inserts the rows in one transaction, and acknowledges their messages.
func (w *worker) handle(rows []row) error {
	if len(rows) == 0 {
		return nil
	}
	err := w.insert(rows)
	if err == nil {
		// Also acknowledges all messages before the last one.
		return rows[len(rows)-1].delivery.Ack(true)
	}
	if len(rows) > 1 {
		// One row can be the cause. So each gets a transaction of its own.
		for i := range rows {
			if err := w.handle(rows[i : i+1]); err != nil {
				return err
			}
		}
		return nil
	}
	log.Printf("database: %v", err)
	time.Sleep(time.Second)
	return rows[0].delivery.Nack(false, true)
}

func (w *worker) insert(rows []row) error {
	batch := &pgx.Batch{}
	for _, row := range rows {
		batch.Queue(insert, row.arguments...)
	}
	// pgx prepares the statement once for each connection. The batch is one round trip and one transaction.
	return w.pool.SendBatch(context.Background(), batch).Close()
}

func main() {
	url, queue, database, schema := env("AMQP_URL", ""), env("QUEUE", ""), env("DATABASE_URL", ""), env("SCHEMA", "")
	prefetch, connections := number("PREFETCH", "200"), number("CONNECTIONS", "10")

	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()

	config, err := pgxpool.ParseConfig(database)
	if err != nil {
		log.Fatal(err)
	}
	config.MaxConns = int32(connections)
	config.ConnConfig.RuntimeParams["search_path"] = schema
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		log.Fatal(err)
	}

	connection, err := amqp.Dial(url)
	if err != nil {
		log.Fatal(err)
	}
	var workers sync.WaitGroup
	for i := range connections {
		tag := "worker-" + strconv.Itoa(i)
		w, err := newWorker(connection, pool, queue, tag, prefetch)
		if err != nil {
			log.Fatal(err)
		}
		workers.Go(func() {
			// No reconnect: the process exits, and its supervisor starts it again.
			if err := w.run(stop, tag); err != nil {
				log.Fatal(err)
			}
		})
	}
	workers.Wait()
	// Waits until the broker has read the acknowledgements.
	if err := connection.Close(); err != nil {
		log.Fatal(err)
	}
	pool.Close()
}
